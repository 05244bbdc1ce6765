Ú
cursor