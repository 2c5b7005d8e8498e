"""A Modbus server made of libmodbus (Debian package libmodbus5, by ctypes), for a helper process of the interop tests.

`python -m tests.modbus_libmodbus tcp` prints `ready PORT`; `... rtu DEVICE UNIT` serves a tty.
Holding register a holds 3 * a + 1, input register a 5 * a + 2, coil a is a mod 3 == 0, discrete input a is odd a.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import socket
import sys

REGISTERS = 200
MAX_ADU_BYTES = 260


class Mapping(ctypes.Structure):
    """modbus_mapping_t of libmodbus 3.1."""

    _fields_ = (
        ("nb_bits", ctypes.c_int),
        ("start_bits", ctypes.c_int),
        ("nb_input_bits", ctypes.c_int),
        ("start_input_bits", ctypes.c_int),
        ("nb_input_registers", ctypes.c_int),
        ("start_input_registers", ctypes.c_int),
        ("nb_registers", ctypes.c_int),
        ("start_registers", ctypes.c_int),
        ("tab_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_bits", ctypes.POINTER(ctypes.c_uint8)),
        ("tab_input_registers", ctypes.POINTER(ctypes.c_uint16)),
        ("tab_registers", ctypes.POINTER(ctypes.c_uint16)),
    )


def library() -> ctypes.CDLL | None:
    """libmodbus, or None when it is not installed."""
    name = ctypes.util.find_library("modbus")
    if name is None:
        return None
    modbus = ctypes.CDLL(name, use_errno=True)
    modbus.modbus_new_tcp.restype = ctypes.c_void_p
    modbus.modbus_new_rtu.restype = ctypes.c_void_p
    modbus.modbus_new_rtu.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_char, ctypes.c_int, ctypes.c_int]
    modbus.modbus_mapping_new.restype = ctypes.POINTER(Mapping)
    return modbus


def serve(modbus: ctypes.CDLL, context: ctypes.c_void_p) -> None:
    mapping = modbus.modbus_mapping_new(REGISTERS, REGISTERS, REGISTERS, REGISTERS)
    for i in range(REGISTERS):
        mapping.contents.tab_registers[i] = 3 * i + 1
        mapping.contents.tab_input_registers[i] = 5 * i + 2
        mapping.contents.tab_bits[i] = i % 3 == 0
        mapping.contents.tab_input_bits[i] = i & 1
    query = (ctypes.c_uint8 * MAX_ADU_BYTES)()
    while True:
        size = modbus.modbus_receive(context, query)
        if size > 0:
            modbus.modbus_reply(context, query, size, mapping)
        elif size < 0 and modbus.modbus_get_socket(context) < 0:
            return


def main() -> None:
    modbus = library()
    assert modbus is not None, "libmodbus is not installed"
    if sys.argv[1] == "tcp":
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        context = ctypes.c_void_p(modbus.modbus_new_tcp(b"127.0.0.1", port))
        listening = ctypes.c_int(modbus.modbus_tcp_listen(context, 1))
        print(f"ready {port}", flush=True)
        modbus.modbus_tcp_accept(context, ctypes.byref(listening))
    else:
        context = ctypes.c_void_p(modbus.modbus_new_rtu(sys.argv[2].encode(), 9600, b"N", 8, 1))
        modbus.modbus_set_slave(context, int(sys.argv[3]))
        assert modbus.modbus_connect(context) == 0, f"libmodbus could not open {sys.argv[2]}"
        print("ready", flush=True)
    serve(modbus, context)


if __name__ == "__main__":
    main()
