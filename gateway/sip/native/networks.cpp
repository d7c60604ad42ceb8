// Addresses and networks. See networks.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "networks.hpp"

#include <stdexcept>

namespace switchhook {

namespace {

constexpr unsigned MAPPED_BITS = 96;

Address mapped(const unsigned char *ipv4) {
    Address bytes{};
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(&bytes[12], ipv4, 4);
    return bytes;
}

} // namespace

Address address_of(const pj_sockaddr &address) {
    const auto *raw = static_cast<const unsigned char *>(pj_sockaddr_get_addr(&address));
    if (address.addr.sa_family == pj_AF_INET())
        return mapped(raw);
    Address bytes{};
    std::memcpy(bytes.data(), raw, bytes.size());
    return bytes;
}

Network network_of(const std::string &text, int transports) {
    const auto slash = text.find('/');
    std::string host = text.substr(0, slash);
    pj_str_t name = pj_str(host.data());
    Network network;
    network.transports = transports;
    unsigned char raw[16];
    unsigned most = 128;
    if (pj_inet_pton(pj_AF_INET(), &name, raw) == PJ_SUCCESS) {
        network.address = mapped(raw);
        most = 32;
    } else if (pj_inet_pton(pj_AF_INET6(), &name, raw) == PJ_SUCCESS) {
        std::memcpy(network.address.data(), raw, sizeof(raw));
    } else {
        throw std::invalid_argument("not a network: " + text);
    }
    unsigned long prefix = most;
    if (slash != std::string::npos) {
        std::size_t used = 0;
        const std::string digits = text.substr(slash + 1);
        try {
            prefix = std::stoul(digits, &used);
        } catch (const std::exception &) {
            used = 0;
        }
        if (used == 0 || used != digits.size() || prefix > most)
            throw std::invalid_argument("not a network: " + text);
    }
    network.prefix = static_cast<unsigned>(prefix) + (most == 32 ? MAPPED_BITS : 0);
    return network;
}

} // namespace switchhook
