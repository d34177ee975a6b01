# SPDX-License-Identifier: MIT
#
# The part of numpy_round_trip.cpp that is in Python.

import numpy as np


def size(path):
    """How many elements a vector file has: docs/file-format.md."""
    return int(np.fromfile(path, dtype='<u8', count=1, offset=512)[0])


# With a header: 4096 bytes, then the elements, then room to grow.
prices = np.memmap('prices.mmv', dtype='<f8', mode='r+', offset=4096, shape=(size('prices.mmv'),))
prices *= 1.5
prices.flush()

# Without: the file is the array.
volumes = np.memmap('volumes.i32', dtype='<i4', mode='r+')
volumes[::2] += 100
volumes.flush()

(prices * volumes).astype('<f8').tofile('totals.f64')
