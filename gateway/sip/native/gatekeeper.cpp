// Gatekeeper: a pjsip_module between transport and transaction layer. See gatekeeper.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "gatekeeper.hpp"

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>

#include <array>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace switchhook {

namespace {

using Bytes = std::array<unsigned char, 16>; // IPv4 addresses are kept as mapped ones (RFC 4291 §2.5.5.2)

constexpr unsigned MAPPED_BITS = 96;
constexpr int BEFORE_TRANSACTIONS = PJSIP_MOD_PRIORITY_TSX_LAYER - 4;

Bytes mapped(const unsigned char *ipv4) {
    Bytes bytes{};
    bytes[10] = bytes[11] = 0xff;
    std::memcpy(&bytes[12], ipv4, 4);
    return bytes;
}

Bytes bytes_of(const pj_sockaddr &address) {
    const auto *raw = static_cast<const unsigned char *>(pj_sockaddr_get_addr(&address));
    if (address.addr.sa_family == pj_AF_INET())
        return mapped(raw);
    Bytes bytes{};
    std::memcpy(bytes.data(), raw, bytes.size());
    return bytes;
}

struct Network {
    Bytes address{};
    unsigned prefix = 0;
    int transports = 0;

    bool holds(const Bytes &other) const {
        const unsigned whole = prefix / 8, rest = prefix % 8;
        if (std::memcmp(address.data(), other.data(), whole) != 0)
            return false;
        return rest == 0 || ((address[whole] ^ other[whole]) >> (8 - rest)) == 0;
    }
};

Network parse(const std::string &text, int transports) {
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

using Table = std::vector<Network>;

int transport_bit(const pjsip_rx_data *rdata) {
    switch (rdata->tp_info.transport->key.type & ~PJSIP_TRANSPORT_IPV6) {
    case PJSIP_TRANSPORT_UDP: return GATE_UDP;
    case PJSIP_TRANSPORT_TCP: return GATE_TCP;
    case PJSIP_TRANSPORT_TLS: return GATE_TLS;
    default: return 0;
    }
}

bool is(const pjsip_method &method, const char *name) { return pj_stricmp2(&method.name, name) == 0; }

// RFC 3261 §12.2.2: the peer's requests within a dialog may come from another address than its INVITE did (its Contact, or a
// Record-Route of it). Both tags of a live dialog are as good as a password.
bool in_dialog(pjsip_rx_data *rdata) {
    const pjsip_to_hdr *to = rdata->msg_info.to;
    const pjsip_from_hdr *from = rdata->msg_info.from;
    return to->tag.slen > 0 && pjsip_ua_find_dialog(&rdata->msg_info.cid->id, &to->tag, &from->tag, PJ_FALSE) != nullptr;
}

// What is not served at all. PJSUA would answer a MESSAGE with 200 although nobody reads it, and event subscriptions are code
// that nothing here needs to expose.
bool unserved(const pjsip_method &method) {
    for (const char *name : {"REGISTER", "SUBSCRIBE", "PUBLISH", "MESSAGE"})
        if (is(method, name))
            return true;
    return false;
}

// Requests that make no sense outside of a dialog, where PJSUA would look for one to start.
bool needs_dialog(const pjsip_method &method) { return is(method, "REFER") || is(method, "NOTIFY"); }

void refuse(pjsip_rx_data *rdata, int status) {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pjsip_hdr headers;
    pj_list_init(&headers);
    if (status == PJSIP_SC_METHOD_NOT_ALLOWED) { // RFC 3261 §8.2.1: with an Allow header
        static pj_str_t name = pj_str(const_cast<char *>("Allow"));
        static pj_str_t value = pj_str(const_cast<char *>("INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, PRACK"));
        pj_list_push_back(&headers, pjsip_generic_string_hdr_create(rdata->tp_info.pool, &name, &value));
    }
    pjsip_endpt_respond_stateless(endpoint, rdata, status, nullptr, &headers, nullptr);
}

// Some phones send a key as INFO with application/dtmf: the bare key, with 10 and 11 for * and #. PJSUA knows only
// application/dtmf-relay and answers 500, so the body is written anew in the form that it knows.
void as_dtmf_relay(pjsip_rx_data *rdata) {
    pjsip_msg_body *body = rdata->msg_info.msg->body;
    if (body == nullptr || pj_stricmp2(&body->content_type.type, "application") != 0 ||
        pj_stricmp2(&body->content_type.subtype, "dtmf") != 0 || body->len == 0 || body->len > 32)
        return;
    std::string key(static_cast<const char *>(body->data), body->len);
    key.erase(0, key.find_first_not_of(" \t\r\n"));
    key.erase(key.find_last_not_of(" \t\r\n") + 1);
    if (key == "10")
        key = "*";
    else if (key == "11")
        key = "#";
    if (key.size() != 1)
        return;
    const std::string relay = "Signal=" + key + "\r\nDuration=160\r\n";
    body->data = pj_pool_alloc(rdata->tp_info.pool, relay.size());
    std::memcpy(body->data, relay.data(), relay.size());
    body->len = static_cast<unsigned>(relay.size());
    body->content_type.subtype = pj_str(const_cast<char *>("dtmf-relay"));
}

} // namespace

struct Gatekeeper::State {
    std::shared_ptr<const Table> table = std::make_shared<const Table>();
    Table next;
    std::atomic<std::uint64_t> passed{0}, stranger{0}, method{0}, replaces{0};
    pjsip_module module{};
    bool installed = false;

    bool knows(const pjsip_rx_data *rdata) const {
        const Bytes source = bytes_of(rdata->pkt_info.src_addr);
        const int transport = transport_bit(rdata);
        for (const Network &network : *table)
            if ((network.transports & transport) != 0 && network.holds(source))
                return true;
        return false;
    }

    // Whether the message was dealt with here.
    bool stops(pjsip_rx_data *rdata) {
        const pjsip_method &asked = rdata->msg_info.msg->line.req.method;
        if (!knows(rdata) && !in_dialog(rdata)) {
            ++stranger;
            return true;
        }
        const bool outside = rdata->msg_info.to->tag.slen == 0;
        if (unserved(asked) || (outside && needs_dialog(asked))) {
            ++method;
            refuse(rdata, PJSIP_SC_METHOD_NOT_ALLOWED);
            return true;
        }
        static const pj_str_t replaces_name = pj_str(const_cast<char *>("Replaces"));
        if (is(asked, "INVITE") && outside && pjsip_msg_find_hdr_by_name(rdata->msg_info.msg, &replaces_name, nullptr)) {
            ++replaces;
            refuse(rdata, PJSIP_SC_FORBIDDEN);
            return true;
        }
        if (is(asked, "INFO"))
            as_dtmf_relay(rdata);
        ++passed;
        return false;
    }
};

// PJSIP's callbacks carry no user data: the one that is installed is found here.
struct GateModule {
    static Gatekeeper *current;
    static pj_bool_t on_rx_request(pjsip_rx_data *rdata) {
        return current != nullptr && current->state_->stops(rdata) ? PJ_TRUE : PJ_FALSE;
    }
};

Gatekeeper *GateModule::current = nullptr;

Gatekeeper::Gatekeeper() : state_(std::make_unique<State>()) {}

Gatekeeper::~Gatekeeper() { remove(); }

void Gatekeeper::install() {
    if (state_->installed)
        return;
    state_->module.name = pj_str(const_cast<char *>("mod-gatekeeper"));
    state_->module.id = -1;
    state_->module.priority = BEFORE_TRANSACTIONS;
    state_->module.on_rx_request = &GateModule::on_rx_request;
    GateModule::current = this;
    const pj_status_t status = pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &state_->module);
    if (status != PJ_SUCCESS) {
        GateModule::current = nullptr;
        throw pj::Error(status, "Gatekeeper::install()", "", __FILE__, __LINE__);
    }
    state_->installed = true;
}

void Gatekeeper::remove() {
    if (!state_->installed)
        return;
    if (pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt(); endpoint != nullptr)
        pjsip_endpt_unregister_module(endpoint, &state_->module);
    GateModule::current = nullptr;
    state_->installed = false;
}

void Gatekeeper::admit(const std::string &network, int transports) { state_->next.push_back(parse(network, transports)); }

void Gatekeeper::swap() {
    state_->table = std::make_shared<const Table>(std::move(state_->next));
    state_->next.clear();
}

GateCounts Gatekeeper::counts() const {
    GateCounts counts;
    counts.passed = state_->passed;
    counts.stranger = state_->stranger;
    counts.method = state_->method;
    counts.replaces = state_->replaces;
    return counts;
}

void tuneEndpoint() { pjsip_cfg()->endpt.keep_inv_after_tsx_timeout = PJ_TRUE; }

} // namespace switchhook
