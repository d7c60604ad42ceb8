// LateCancel: a pjsip_module that sees requests before they are printed. See late_cancel.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "late_cancel.hpp"

#include "rates.hpp"

#include <pjsip.h>
#include <pjsua-lib/pjsua.h>
extern "C" {
#include <pjsua-lib/pjsua_internal.h>
}

#include <algorithm>
#include <deque>
#include <stdexcept>

namespace switchhook {

namespace {

constexpr int BEFORE_PRINTING = PJSIP_MOD_PRIORITY_TSX_LAYER - 1;
constexpr double KEPT_FOR_S = 64; // longer than an INVITE waits for a response (RFC 3261 §17.1.1.2: 32 s)
constexpr std::size_t MOST = 4096;

struct Kept {
    std::string call_id, value;
    double until;
};

} // namespace

struct LateCancel::State {
    pjsip_module module{};
    std::deque<Kept> kept; // the oldest first
    bool installed = false;
};

// PJSIP's callbacks carry no user data: the one that is installed is found here.
struct LateCancelModule {
    static LateCancel *current;
    static pj_status_t on_tx_request(pjsip_tx_data *tdata) {
        static const pj_str_t name = pj_str(const_cast<char *>("Reason"));
        if (current == nullptr || current->state_->kept.empty() || tdata->msg->line.req.method.id != PJSIP_CANCEL_METHOD ||
            pjsip_msg_find_hdr_by_name(tdata->msg, &name, nullptr) != nullptr)
            return PJ_SUCCESS;
        const auto *id = static_cast<const pjsip_cid_hdr *>(pjsip_msg_find_hdr(tdata->msg, PJSIP_H_CALL_ID, nullptr));
        for (const Kept &one : current->state_->kept)
            if (id != nullptr && pj_strcmp2(&id->id, one.call_id.c_str()) == 0) {
                const pj_str_t value = pj_str(const_cast<char *>(one.value.c_str())); // is copied
                pjsip_msg_add_hdr(tdata->msg, reinterpret_cast<pjsip_hdr *>(pjsip_generic_string_hdr_create(tdata->pool, &name, &value)));
                break;
            }
        return PJ_SUCCESS;
    }
};

LateCancel *LateCancelModule::current = nullptr;

LateCancel::LateCancel() : state_(std::make_unique<State>()) {}

LateCancel::~LateCancel() { remove(); }

void LateCancel::install() {
    if (state_->installed)
        return;
    state_->module.name = pj_str(const_cast<char *>("mod-late-cancel"));
    state_->module.id = -1;
    state_->module.priority = BEFORE_PRINTING;
    state_->module.on_tx_request = &LateCancelModule::on_tx_request;
    LateCancelModule::current = this;
    const pj_status_t status = pjsip_endpt_register_module(pjsua_get_pjsip_endpt(), &state_->module);
    if (status != PJ_SUCCESS) {
        LateCancelModule::current = nullptr;
        throw pj::Error(status, "LateCancel::install()", "", __FILE__, __LINE__);
    }
    state_->installed = true;
}

void LateCancel::remove() {
    if (!state_->installed)
        return;
    if (pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt(); endpoint != nullptr)
        pjsip_endpt_unregister_module(endpoint, &state_->module);
    LateCancelModule::current = nullptr;
    state_->installed = false;
}

void LateCancel::reason(int call_id, const std::string &value) {
    if (std::any_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }))
        throw std::invalid_argument("this is no header value");
    if (call_id < 0 || call_id >= static_cast<int>(pjsua_var.ua_cfg.max_calls))
        return;
    const pjsip_inv_session *session = pjsua_var.calls[call_id].inv;
    if (session == nullptr)
        return;
    const double now = steady_seconds();
    std::deque<Kept> &kept = state_->kept;
    while (!kept.empty() && (kept.front().until < now || kept.size() >= MOST))
        kept.pop_front();
    const pj_str_t &id = session->dlg->call_id->id;
    kept.push_back({std::string(id.ptr, static_cast<std::size_t>(id.slen)), value, now + KEPT_FOR_S});
}

} // namespace switchhook
