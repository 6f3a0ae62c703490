"""mmcv's detection operators, a module for each family; mmcv imports `stand_in`."""
