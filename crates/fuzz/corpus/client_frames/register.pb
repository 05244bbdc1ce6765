R+
alicecorrect horseK7QM"laptop*Alice