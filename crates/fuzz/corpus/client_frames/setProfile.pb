º
Alice