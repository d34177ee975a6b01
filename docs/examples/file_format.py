# SPDX-License-Identifier: MIT
#
# Reads a vector with what docs/file-format.md says and nothing else; see file_format.cpp.

import struct


def fnv1a(data):
    h = 0xCBF29CE484222325
    for byte in data:
        h = (h ^ byte) * 0x100000001B3 % 2**64
    return h


class Refused(Exception):
    pass


def read_header(file, element_bytes, alignment, type_name):
    """How many elements there are; Refused, with the name of the error, if that cannot be said."""
    h = file.read(4096)
    length = file.seek(0, 2)
    if h[:8] != b'\x89mmstl\r\n'[: len(h)]:
        raise Refused('foreign_file')
    if len(h) < 4096:
        raise Refused('incomplete')
    if h[8:12] == b'\x01\x02\x03\x04':
        raise Refused('other_byte_order')  # to this reader, which is written for '<'
    if h[8:12] != b'\x04\x03\x02\x01':
        raise Refused('damaged')
    version, kind, header_bytes, size, align, type_hash = struct.unpack_from('<IIIQQQ', h, 12)
    (checksum,) = struct.unpack_from('<Q', h, 504)
    if checksum != fnv1a(h[:504]):
        raise Refused('damaged')
    if version != 1 or header_bytes != 4096:
        raise Refused('other_version')
    if kind != 1:
        raise Refused('other_kind')
    if size != element_bytes:
        raise Refused('other_element_size')
    if type_hash != fnv1a(type_name) or align != alignment:
        raise Refused('other_type')
    records = []
    for at, parity in (1024, 0), (1536, 1):
        sequence, durable_size, checksum = struct.unpack_from('<QQQ', h, at)
        if checksum == fnv1a(h[at : at + 16]) and sequence % 2 == parity:
            records.append((sequence, durable_size))
    if not records:
        raise Refused('damaged')
    if (records[-1][0] - records[0][0]) % 2**64 < 2**63:
        durable_size = records[-1][1]
    else:
        durable_size = records[0][1]
    (published_size,) = struct.unpack_from('<Q', h, 512)
    (state,) = struct.unpack_from('<Q', h, 576)
    if state != 0:  # in use, or not closed: here one may take `published_size` or `durable_size`
        raise Refused('unclean')
    if published_size > (length - 4096) // element_bytes:
        raise Refused('past_the_end')
    return published_size


def copies(whole):
    """Damaged copies of a file, each with another error."""

    def changed(layout, offset, value, mend=True):
        made = bytearray(whole)
        struct.pack_into('<' + layout, made, offset, value)
        if mend:
            struct.pack_into('<Q', made, 504, fnv1a(made[:504]))
        return bytes(made)

    yield 'whole', whole
    yield 'empty', b''
    yield 'foreign', b'#!/bin/sh\n'.ljust(5000)
    yield 'as text', whole.replace(b'\r\n', b'\n')
    yield 'cut in the header', whole[:4095]
    yield 'other order', changed('I', 8, 0x04030201)
    yield 'a flipped bit', changed('B', 48, whole[48] ^ 1, mend=False)
    yield 'version 2', changed('I', 12, 2)
    yield 'longer header', changed('I', 20, 8192)
    yield 'a segment', changed('I', 16, 2)
    yield 'larger elements', changed('Q', 24, 24)
    yield 'other alignment', changed('Q', 32, 16)
    yield 'other type', changed('Q', 40, fnv1a(b'tick/2'))
    yield 'older record damaged', changed('B', 1024, 99)
    newest = bytearray(changed('B', 1024, 99))
    newest[1536] ^= 1
    yield 'both records damaged', bytes(newest)
    yield 'in use', changed('Q', 576, 1)
    yield 'state 7', changed('Q', 576, 7)
    yield 'cut in the elements', whole[: 4096 + 16]
    yield 'too many elements', changed('Q', 512, 2**63)


def elements(file, n):
    file.seek(4096)
    return list(struct.iter_unpack('<qd', file.read(16 * n)))


with open('ticks.mmv', 'rb') as file:
    print('python ', elements(file, read_header(file, 16, 8, b'tick/1')))
    file.seek(0)
    whole = file.read()

with open('copies.txt', 'w') as names:
    for name, data in copies(whole):
        print(name, file=names)
        with open(name, 'wb') as file:
            file.write(data)
        with open(name, 'rb') as file:
            try:
                answer = f'{read_header(file, 16, 8, b"tick/1")} elements'
            except Refused as refused:
                answer = refused
        print(f'python  {name:22} {answer}')
