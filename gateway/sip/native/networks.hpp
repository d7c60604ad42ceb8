// Addresses and networks, IPv4 and IPv6 alike; gatekeeper.cpp looks its sources up in a table of them.
// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef SWITCHHOOK_NETWORKS_HPP
#define SWITCHHOOK_NETWORKS_HPP

#include <pjlib.h>

#include <array>
#include <cstring>
#include <string>

namespace switchhook {

using Address = std::array<unsigned char, 16>; // IPv4 addresses are kept as mapped ones (RFC 4291 §2.5.5.2)

Address address_of(const pj_sockaddr &address);

struct Network {
    Address address{};
    unsigned prefix = 0;
    int transports = 0; // GateTransport bits

    bool holds(const Address &other) const {
        const unsigned whole = prefix / 8, rest = prefix % 8;
        if (std::memcmp(address.data(), other.data(), whole) != 0)
            return false;
        return rest == 0 || ((address[whole] ^ other[whole]) >> (8 - rest)) == 0;
    }
};

// Of "203.0.113.0/24", or of a single address. Throws std::invalid_argument for what is no network.
Network network_of(const std::string &text, int transports);

} // namespace switchhook

#endif
