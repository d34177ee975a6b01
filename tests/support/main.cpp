// SPDX-License-Identifier: MIT
//
// The main function of every test where Catch2 does not bring its own.

#define CATCH_CONFIG_MAIN
#include "support/catch.hpp"
