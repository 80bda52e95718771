require recipes-bsp/u-boot/smgw-u-boot.inc
