"""mmcv's detection operators, a module for each family; `stand_in` is what mmcv gets to see."""
