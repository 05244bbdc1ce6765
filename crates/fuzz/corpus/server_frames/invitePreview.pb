ê
Hoopoes