"""The world around one gateway, in virtual time: weather, instruments, wires, links, disk, power, clock, province.

The daemon in it is the unmodified one; what is judged is what instruments showed against what the province holds.
"""
