module quorate.test/node

go 1.24
