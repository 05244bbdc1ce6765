r
correct horsebattery staple