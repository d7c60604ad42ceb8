// Gatekeeper: a pjsip_module between transport and transaction layer. See gatekeeper.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "gatekeeper.hpp"

#include "networks.hpp"
#include "rates.hpp"
#include "sanity.hpp"

#include <pjsip.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>

#include <atomic>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace switchhook {

namespace {

constexpr int BEFORE_TRANSACTIONS = PJSIP_MOD_PRIORITY_TSX_LAYER - 4;
constexpr Rate REFUSALS{200, 200};            // of sources that ask too often, all together
constexpr int TOO_MANY_CALLS_RETRY_AFTER = 1; // seconds: the rate has room again in less

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

// RFC 3261 §17.1.1.2, §17.2.3: the first copy was let in, and this one costs no more than its answer.
bool is_retransmission(pjsip_rx_data *rdata) {
    pj_str_t key;
    const pjsip_method &method = rdata->msg_info.msg->line.req.method;
    if (pjsip_tsx_create_key(rdata->tp_info.pool, &key, PJSIP_ROLE_UAS, &method, rdata) != PJ_SUCCESS)
        return false;
    const pjsip_transaction *transaction = pjsip_tsx_layer_find_tsx(&key, PJ_FALSE);
    return transaction != nullptr && transaction->state < PJSIP_TSX_STATE_TERMINATED;
}

pjsip_allow_hdr *allow_of(pjsip_endpoint *endpoint) {
    const pjsip_hdr *allow = pjsip_endpt_get_capability(endpoint, PJSIP_H_ALLOW, nullptr);
    return reinterpret_cast<pjsip_allow_hdr *>(const_cast<pjsip_hdr *>(allow));
}

// PJSUA tells every peer that it takes MESSAGE and SUBSCRIBE: RFC 3261 §20.5, Allow names what is served.
void tell_only_what_is_served(pjsip_endpoint *endpoint) {
    pjsip_allow_hdr *allow = allow_of(endpoint);
    if (allow == nullptr)
        return;
    unsigned kept = 0;
    for (unsigned i = 0; i < allow->count; ++i)
        if (pjsip_method method; pjsip_method_init_np(&method, &allow->values[i]), !unserved(method))
            allow->values[kept++] = allow->values[i];
    allow->count = kept;
}

struct Refusal {
    int status;
    const char *phrase = nullptr; // or what RFC 3261 calls it
    int retry_after = -1;         // seconds; none
};

void refuse(pjsip_rx_data *rdata, const Refusal &refusal) {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    pjsip_hdr headers;
    pj_list_init(&headers);
    if (refusal.status == PJSIP_SC_METHOD_NOT_ALLOWED) // RFC 3261 §8.2.1: with an Allow header
        if (const pjsip_allow_hdr *allow = allow_of(endpoint))
            pj_list_push_back(&headers, pjsip_hdr_clone(rdata->tp_info.pool, allow));
    if (refusal.retry_after >= 0)
        pj_list_push_back(&headers, pjsip_retry_after_hdr_create(rdata->tp_info.pool, refusal.retry_after));
    pj_str_t phrase = pj_str(const_cast<char *>(refusal.phrase != nullptr ? refusal.phrase : ""));
    pjsip_endpt_respond_stateless(endpoint, rdata, refusal.status, phrase.slen > 0 ? &phrase : nullptr, &headers, nullptr);
}

Rate rate_of(double per_second, double burst) {
    if (!(per_second >= 0) || !(burst >= 1 || per_second == 0))
        throw std::invalid_argument("a rate is 0 or more a second, with bursts of 1 or more");
    return Rate{per_second, burst};
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

// RFC 3891 §3. PJSUA would answer an INVITE with Replaces at once, for whoever sends it, and hang the old call up: it must not
// see the header. legs.py reads it in the text of the message and decides. Returns what is wrong, or nothing.
const char *hide_replaces(pjsip_msg *message, bool outside) {
    static const pj_str_t name = pj_str(const_cast<char *>("Replaces"));
    auto *header = static_cast<pjsip_replaces_hdr *>(pjsip_msg_find_hdr_by_name(message, &name, nullptr));
    if (header == nullptr || message->line.req.method.id == PJSIP_ACK_METHOD)
        return nullptr;
    if (message->line.req.method.id != PJSIP_INVITE_METHOD)
        return "Replaces Outside of an INVITE";
    if (!outside)
        return "Replaces Within a Dialog";
    if (pjsip_msg_find_hdr_by_name(message, &name, header->next) != nullptr)
        return "Repeated Replaces";
    if (header->call_id.slen == 0 || header->to_tag.slen == 0 || header->from_tag.slen == 0)
        return "Replaces Without a Dialog";
    pj_list_erase(header);
    return nullptr;
}

} // namespace

struct Gatekeeper::State {
    using Count = std::atomic<std::uint64_t>;

    std::shared_ptr<const Table> table = std::make_shared<const Table>();
    Table next;
    Rate source_rate, call_rate;
    SourceRates sources;
    Bucket calls, refusals;
    int retry_after = -1; // turned away since: seconds
    GateReason why = GATE_DRAINING;
    Count passed{0}, stranger{0}, method{0}, rate{0}, cps{0}, draining{0}, overloaded{0}, malformed{0},
        malformed_response{0};
    pjsip_module module{};
    bool installed = false;

    bool knows(const pjsip_rx_data *rdata) const {
        const Address source = address_of(rdata->pkt_info.src_addr);
        const int transport = transport_bit(rdata);
        for (const Network &network : *table)
            if ((network.transports & transport) != 0 && network.holds(source))
                return true;
        return false;
    }

    bool asks_too_often(pjsip_rx_data *rdata, int method_id) {
        if (source_rate.per_second <= 0 || method_id == PJSIP_ACK_METHOD || method_id == PJSIP_CANCEL_METHOD)
            return false;
        if (in_dialog(rdata) || is_retransmission(rdata))
            return false;
        return !sources.take(address_of(rdata->pkt_info.src_addr), source_rate, steady_seconds());
    }

    bool is_one_call_too_many(pjsip_rx_data *rdata) {
        if (call_rate.per_second <= 0 || is_retransmission(rdata))
            return false;
        return !calls.take(call_rate, steady_seconds());
    }

    bool refused(pjsip_rx_data *rdata, Count &count, const Refusal &refusal) {
        ++count;
        refuse(rdata, refusal);
        return true;
    }

    // A request that is malformed or not served.
    bool is_unfit(pjsip_rx_data *rdata, bool outside) {
        const pjsip_method &asked = rdata->msg_info.msg->line.req.method;
        if (const char *fault = fault_of(rdata)) { // in the SDP too: after a 488 (§21.4.26) a peer would try another codec
            if (asked.id != PJSIP_ACK_METHOD)
                return refused(rdata, malformed, {PJSIP_SC_BAD_REQUEST, fault});
            ++malformed; // RFC 3261 §17.1.1.3: nothing answers an ACK
            return true;
        }
        if (unserved(asked) || (outside && needs_dialog(asked)))
            return refused(rdata, method, {PJSIP_SC_METHOD_NOT_ALLOWED});
        if (const char *fault = hide_replaces(rdata->msg_info.msg, outside))
            return refused(rdata, malformed, {PJSIP_SC_BAD_REQUEST, fault});
        return false;
    }

    // Whether the message was dealt with here. What costs least is asked first, and no answer is given without limit.
    bool stops(pjsip_rx_data *rdata) {
        const pjsip_method &asked = rdata->msg_info.msg->line.req.method;
        const bool outside = rdata->msg_info.to->tag.slen == 0;
        const bool is_call = asked.id == PJSIP_INVITE_METHOD, is_probe = asked.id == PJSIP_OPTIONS_METHOD;
        if (!knows(rdata) && !in_dialog(rdata)) {
            ++stranger;
            return true;
        }
        if (asks_too_often(rdata, asked.id)) {
            ++rate;
            if ((is_call || is_probe) && refusals.take(REFUSALS, steady_seconds()))
                refuse(rdata, {PJSIP_SC_SERVICE_UNAVAILABLE});
            return true;
        }
        if (is_unfit(rdata, outside))
            return true;
        if (retry_after >= 0 && outside && (is_call || is_probe) && !is_retransmission(rdata))
            return refused(rdata, why == GATE_DRAINING ? draining : overloaded,
                           {PJSIP_SC_SERVICE_UNAVAILABLE, nullptr, retry_after});
        if (is_call && outside && is_one_call_too_many(rdata))
            return refused(rdata, cps, {PJSIP_SC_SERVICE_UNAVAILABLE, nullptr, TOO_MANY_CALLS_RETRY_AFTER});
        if (is(asked, "INFO"))
            as_dtmf_relay(rdata);
        ++passed;
        return false;
    }

    bool stops_response(pjsip_rx_data *rdata) {
        if (fault_of(rdata) == nullptr)
            return false;
        ++malformed_response;
        return true;
    }
};

// PJSIP's callbacks carry no user data: the one that is installed is found here.
struct GateModule {
    static Gatekeeper *current;
    static pj_bool_t on_rx_request(pjsip_rx_data *rdata) {
        return current != nullptr && current->state_->stops(rdata) ? PJ_TRUE : PJ_FALSE;
    }
    static pj_bool_t on_rx_response(pjsip_rx_data *rdata) {
        return current != nullptr && current->state_->stops_response(rdata) ? PJ_TRUE : PJ_FALSE;
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
    state_->module.on_rx_response = &GateModule::on_rx_response;
    GateModule::current = this;
    const pj_status_t status = pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &state_->module);
    if (status != PJ_SUCCESS) {
        GateModule::current = nullptr;
        throw pj::Error(status, "Gatekeeper::install()", "", __FILE__, __LINE__);
    }
    tell_only_what_is_served(pjsua_get_pjsip_endpt());
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

void Gatekeeper::admit(const std::string &network, int transports) { state_->next.push_back(network_of(network, transports)); }

void Gatekeeper::swap() {
    state_->table = std::make_shared<const Table>(std::move(state_->next));
    state_->next.clear();
}

void Gatekeeper::setSourceRate(double per_second, double burst) { state_->source_rate = rate_of(per_second, burst); }

void Gatekeeper::setCallRate(double per_second, double burst) { state_->call_rate = rate_of(per_second, burst); }

void Gatekeeper::turnAway(int retry_after_seconds, GateReason why) {
    if (retry_after_seconds < 0)
        throw std::invalid_argument("Retry-After is 0 s or more");
    state_->retry_after = retry_after_seconds;
    state_->why = why;
}

void Gatekeeper::takeCalls() { state_->retry_after = -1; }

GateCounts Gatekeeper::counts() const {
    GateCounts counts;
    counts.passed = state_->passed;
    counts.stranger = state_->stranger;
    counts.method = state_->method;
    counts.rate = state_->rate;
    counts.cps = state_->cps;
    counts.draining = state_->draining;
    counts.overloaded = state_->overloaded;
    counts.malformed = state_->malformed;
    counts.malformed_response = state_->malformed_response;
    return counts;
}

void tuneEndpoint() { pjsip_cfg()->endpt.keep_inv_after_tsx_timeout = PJ_TRUE; }

} // namespace switchhook
