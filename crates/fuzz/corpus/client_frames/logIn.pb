Z
alicecorrect horselaptop