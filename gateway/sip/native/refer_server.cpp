// ReferServer: a pjsip_module between transactions and dialogs. See refer_server.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "refer_server.hpp"

#include "rates.hpp"

#include <pjsip.h>
#include <pjsip_simple.h>
#include <pjsip_ua.h>
#include <pjsua-lib/pjsua.h>
extern "C" {
#include <pjsua-lib/pjsua_internal.h>
}

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <stdexcept>
#include <utility>

namespace switchhook {

namespace {

constexpr int BEFORE_DIALOGS = PJSIP_MOD_PRIORITY_TSX_LAYER + 4;
constexpr std::size_t MOST_SENT = 4096, MOST_RECEIVED = 1024, MOST_WAITING = 32;
constexpr double ANSWER_WITHIN_S = 4;    // RFC 4320 §4.1: later the referrer may have given up
constexpr double SUBSCRIBED_FOR_S = 600; // longer than any ring timeout of ours
constexpr double REMEMBERED_FOR_S = 64; // after the dialog's end: twice as long as a transaction lives
constexpr int SWEEP_EVERY_MS = 500;

// For PJSIP's functions that take names but do not change them.
pj_str_t literal(const char *text) { return pj_str(const_cast<char *>(text)); }

std::string text_of(const pj_str_t &text) { return std::string(text.ptr, text.slen > 0 ? static_cast<std::size_t>(text.slen) : 0); }

pjsip_method method_of(const char *name) {
    pjsip_method method;
    pj_str_t text = literal(name);
    pjsip_method_init_np(&method, &text);
    return method;
}

bool is(const pjsip_method &method, const char *name) { return pj_strcmp2(&method.name, name) == 0; }

// A header that PJSIP has no type for, or nullptr.
const pjsip_generic_string_hdr *header(const pjsip_msg *msg, const char *name) {
    const pj_str_t wanted = literal(name);
    return static_cast<const pjsip_generic_string_hdr *>(pjsip_msg_find_hdr_by_name(msg, &wanted, nullptr));
}

// RFC 4488 §4: whether the message says `Refer-Sub: false`.
bool without_subscription(const pjsip_msg *msg) {
    const auto *found = header(msg, "Refer-Sub");
    return found != nullptr && found->hvalue.slen >= 5 && pj_ansi_strnicmp(found->hvalue.ptr, "false", 5) == 0;
}

// RFC 6665 §4.1.2.2: whether this NOTIFY is the last one.
bool ends_subscription(const pjsip_msg *msg) {
    const pj_str_t name = literal("Subscription-State");
    const auto *state = static_cast<const pjsip_sub_state_hdr *>(pjsip_msg_find_hdr_by_name(msg, &name, nullptr));
    return state != nullptr && pj_stricmp2(&state->sub_state, "terminated") == 0;
}

void add(pjsip_tx_data *tdata, const char *name, const std::string &value) {
    const pj_str_t hname = literal(name), hvalue = literal(value.c_str());
    pjsip_msg_add_hdr(tdata->msg, reinterpret_cast<pjsip_hdr *>(pjsip_generic_string_hdr_create(tdata->pool, &hname, &hvalue)));
}

bool is_header_value(const std::string &value) {
    return std::none_of(value.begin(), value.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

// RFC 3420: the status of a body that begins with a status line; 0 for any other. Nothing need follow the three digits.
int sipfrag_status(const pjsip_msg_body *body) {
    static const char START[] = "SIP/2.0 ";
    constexpr unsigned start = sizeof START - 1;
    if (body == nullptr || body->data == nullptr || body->len < start + 3)
        return 0;
    const auto *text = static_cast<const char *>(body->data);
    if (std::memcmp(text, START, start) != 0)
        return 0;
    int status = 0;
    for (unsigned i = start; i < start + 3; ++i) {
        if (!std::isdigit(static_cast<unsigned char>(text[i])))
            return 0;
        status = status * 10 + (text[i] - '0');
    }
    if (body->len > start + 3 && std::strchr(" \t\r\n", text[start + 3]) == nullptr)
        return 0;
    return status >= 100 && status <= 699 ? status : 0;
}

// A dialog by its name (RFC 3261 §12), which may outlive it.
struct DialogName {
    std::string call_id, local_tag, remote_tag;

    DialogName(std::string id, std::string local, std::string remote)
        : call_id(std::move(id)), local_tag(std::move(local)), remote_tag(std::move(remote)) {}
    explicit DialogName(const pjsip_dialog *dialog)
        : call_id(text_of(dialog->call_id->id)), local_tag(text_of(dialog->local.info->tag)), remote_tag(text_of(dialog->remote.info->tag)) {}
    explicit DialogName(const pjsip_rx_data *rdata)
        : call_id(text_of(rdata->msg_info.cid->id)), local_tag(text_of(rdata->msg_info.to->tag)), remote_tag(text_of(rdata->msg_info.from->tag)) {}

    bool operator==(const DialogName &other) const {
        return call_id == other.call_id && local_tag == other.local_tag && remote_tag == other.remote_tag;
    }

    pjsip_dialog *find() const {
        if (local_tag.empty())
            return nullptr;
        const pj_str_t id = literal(call_id.c_str()), local = literal(local_tag.c_str()), remote = literal(remote_tag.c_str());
        return pjsip_ua_find_dialog(&id, &local, &remote, PJ_FALSE);
    }
};

class DialogLock {
  public:
    explicit DialogLock(pjsip_dialog *dialog) : dialog_(dialog) { pjsip_dlg_inc_lock(dialog_); }
    ~DialogLock() { pjsip_dlg_dec_lock(dialog_); }
    DialogLock(const DialogLock &) = delete;
    DialogLock &operator=(const DialogLock &) = delete;

  private:
    pjsip_dialog *dialog_;
};

bool is_up(const pjsua_call &call) { return call.inv != nullptr && call.inv->state == PJSIP_INV_STATE_CONFIRMED; }

// The PJSUA call that has this dialog, or nullptr.
const pjsua_call *call_of(const pjsip_dialog *dialog) {
    if (dialog == nullptr)
        return nullptr;
    const auto *call = static_cast<const pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]);
    return call != nullptr && call->inv != nullptr && call->inv->dlg == dialog ? call : nullptr;
}

pjsip_dialog *dialog_of(int call_id) {
    if (call_id < 0 || call_id >= static_cast<int>(pjsua_var.ua_cfg.max_calls))
        return nullptr;
    const pjsua_call &call = pjsua_var.calls[call_id];
    return is_up(call) ? call.inv->dlg : nullptr;
}

// What became of a request of ours. `response` is nullptr when none came.
struct Outcome {
    int status;
    const pjsip_msg *response;
};
using Done = std::function<void(const Outcome &)>;
using Sending = std::function<void(int cseq)>;

// A request of ours that waits for its final response. It keeps its dialog from being destroyed, as the message's headers
// are partly the dialog's.
struct Flight {
    pjsip_dialog *dialog;
    pjsip_transaction *transaction;
    bool challenged;
    Sending sending;
    Done done;
};

// A REFER of ours. A newer one in its dialog is what its key means from then on: of the older one nothing more is told.
struct Sent {
    std::string key;
    DialogName dialog;
    int cseq;
    int last_notify;
    bool answered;
    double forget_at;
    bool over;    // the NOTIFY that ends its subscription has come
    bool newest;
};

// A REFER that came: `transaction` and `response` until it is answered.
struct Received {
    DialogName dialog;
    int cseq;
    bool first; // in its dialog
    bool subscribes;
    pjsip_transaction *transaction;
    pjsip_tx_data *response;
    double until; // unanswered: 500 then; answered: the end of the subscription
    bool closed;  // the last NOTIFY is sent or waits
    int in_flight; // NOTIFYs that are not answered yet
    std::deque<int> waiting;
};

} // namespace

// PJSIP's callbacks carry no user data: the one that is installed is found here. The module itself stays, as transactions
// name it until they are destroyed.
struct ReferModule {
    static ReferServer *current;
    static pjsip_module module;
    static pj_timer_entry sweeper;
    static pj_bool_t on_rx_request(pjsip_rx_data *rdata);
    static void on_tsx_state(pjsip_transaction *transaction, pjsip_event *event);
    static void on_sweep(pj_timer_heap_t *heap, pj_timer_entry *entry);
};

ReferServer *ReferModule::current = nullptr;
pjsip_module ReferModule::module{};
pj_timer_entry ReferModule::sweeper{};

struct ReferServer::State {
    ReferServer &server;
    pjsip_endpoint *endpoint = nullptr;
    bool installed = false;
    int last_id = 0;
    std::map<int, Sent> sent;
    std::map<int, Received> received;
    std::map<int, Flight> flights;

    explicit State(ReferServer &owner) : server(owner) {}

    // ── requests of ours ────────────────────────────────────────────────────────────────────────────────────────────

    // Send it in its dialog: what pjsip_dlg_send_request does, but that the dialog's users are not told how it ends.
    void send(pjsip_dialog *dialog, pjsip_tx_data *tdata, Sending sending, Done done, bool challenged = false) {
        DialogLock lock(dialog);
        if (dialog->via_addr.host.slen > 0) {
            tdata->via_addr = dialog->via_addr;
            tdata->via_tp = dialog->via_tp;
        }
        pjsip_cseq_hdr *cseq = PJSIP_MSG_CSEQ_HDR(tdata->msg);
        cseq->cseq = dialog->local.cseq++;
        pjsip_tx_data_invalidate_msg(tdata);
        if (sending)
            sending(cseq->cseq);
        pjsip_transaction *transaction = nullptr;
        if (pjsip_tsx_create_uac(&ReferModule::module, tdata, &transaction) != PJ_SUCCESS) {
            pjsip_tx_data_dec_ref(tdata);
            done({PJSIP_SC_SERVICE_UNAVAILABLE, nullptr});
            return;
        }
        pjsip_tsx_set_transport(transaction, &dialog->tp_sel);
        pjsip_dlg_inc_session(dialog, &ReferModule::module);
        const int id = ++last_id;
        transaction->mod_data[ReferModule::module.id] = reinterpret_cast<void *>(static_cast<std::intptr_t>(id));
        flights.emplace(id, Flight{dialog, transaction, challenged, std::move(sending), std::move(done)});
        if (pjsip_tsx_send_msg(transaction, nullptr) != PJ_SUCCESS) {
            pjsip_tx_data_dec_ref(tdata);
            if (flights.count(id) != 0) // else its transaction has told us
                pjsip_tsx_terminate(transaction, PJSIP_SC_SERVICE_UNAVAILABLE);
        }
    }

    void landed(int id, pjsip_transaction *transaction, const pjsip_event *event) {
        const auto found = flights.find(id);
        if (found == flights.end())
            return;
        Flight flight = std::move(found->second);
        flights.erase(found);
        transaction->mod_data[ReferModule::module.id] = nullptr;
        pjsip_rx_data *rdata =
            event->body.tsx_state.type == PJSIP_EVENT_RX_MSG ? event->body.tsx_state.src.rdata : nullptr;
        const int status = transaction->status_code;
        if (rdata == nullptr) {
            flight.done({status == PJSIP_SC_REQUEST_TIMEOUT ? status : PJSIP_SC_SERVICE_UNAVAILABLE, nullptr});
        } else if (!(status == 401 || status == 407) || flight.challenged || !again(flight, transaction, rdata)) {
            flight.done({status, rdata->msg_info.msg});
        }
        pjsip_dlg_dec_session(flight.dialog, &ReferModule::module); // may be the end of it
    }

    // RFC 3261 §22: with credentials, if the dialog has some for what is asked.
    bool again(Flight &flight, pjsip_transaction *transaction, const pjsip_rx_data *challenge) {
        pjsip_tx_data *tdata = nullptr;
        if (pjsip_auth_clt_reinit_req(&flight.dialog->auth_sess, challenge, transaction->last_tx, &tdata) != PJ_SUCCESS)
            return false;
        send(flight.dialog, tdata, std::move(flight.sending), std::move(flight.done), true);
        return true;
    }

    pjsip_tx_data *request(pjsip_dialog *dialog, const char *name) {
        const pjsip_method method = method_of(name);
        pjsip_tx_data *tdata = nullptr;
        return pjsip_dlg_create_request(dialog, &method, -1, &tdata) == PJ_SUCCESS ? tdata : nullptr;
    }

    // ── we refer ────────────────────────────────────────────────────────────────────────────────────────────────────

    void refer(int call_id, const std::string &key, const std::string &refer_to, const std::string &referred_by) {
        pjsip_dialog *dialog = dialog_of(call_id);
        if (dialog == nullptr || !installed)
            return server.onReferAnswered(key, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST, false, true);
        pjsip_tx_data *tdata = request(dialog, "REFER");
        if (tdata == nullptr)
            return server.onReferAnswered(key, PJSIP_SC_SERVICE_UNAVAILABLE, false, true);
        for (const auto &[name, value] : {std::pair{"Refer-To", &refer_to}, std::pair{"Referred-By", &referred_by}})
            if (!value->empty())
                add(tdata, name, *value);
        if (sent.size() >= MOST_SENT)
            sent.erase(std::min_element(sent.begin(), sent.end(), [](const auto &a, const auto &b) { return a.second.forget_at < b.second.forget_at; }));
        const int id = ++last_id;
        const DialogName name(dialog);
        for (auto &[_, older] : sent)
            older.newest = older.newest && !(older.dialog == name);
        sent.emplace(id, Sent{key, name, 0, -1, false, steady_seconds() + REMEMBERED_FOR_S, false, true});
        sweep_soon();
        send(
            dialog, tdata,
            [this, id](int cseq) {
                if (const auto found = sent.find(id); found != sent.end())
                    found->second.cseq = cseq;
            },
            [this, id, key](const Outcome &outcome) {
                const bool accepted = outcome.status >= 200 && outcome.status < 300;
                const auto found = sent.find(id);
                const bool newest = found == sent.end() || found->second.newest;
                if (found != sent.end())
                    found->second.answered = true;
                if (found != sent.end() && outcome.response != nullptr && !accepted)
                    sent.erase(found);
                if (!newest)
                    return;
                server.onReferAnswered(key, outcome.status, outcome.response != nullptr,
                                       !(accepted && outcome.response != nullptr && without_subscription(outcome.response)));
            });
    }

    void receive_notify(pjsip_rx_data *rdata, const pjsip_event_hdr *event) {
        Sent *refer = referred(DialogName(rdata), text_of(event->id_param));
        if (refer == nullptr)
            return respond(rdata, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST);
        respond(rdata, PJSIP_SC_OK);
        const int cseq = rdata->msg_info.cseq->cseq, status = sipfrag_status(rdata->msg_info.msg->body);
        if (cseq <= refer->last_notify)
            return;
        refer->last_notify = cseq;
        refer->over = refer->over || ends_subscription(rdata->msg_info.msg);
        if (status != 0 && refer->newest)
            server.onNotify(std::string(refer->key), status);
    }

    // Whose a NOTIFY is. RFC 3515 §2.4.6: without an id it is the first one's, but many peers know no ids: then it is the
    // newest one's, unless that one has no answer yet and an older one is still waited for.
    Sent *referred(const DialogName &name, const std::string &id) {
        Sent *newest = nullptr;
        for (auto it = sent.rbegin(); it != sent.rend(); ++it) {
            Sent &refer = it->second;
            if (!(refer.dialog == name))
                continue;
            if (!id.empty() && id == std::to_string(refer.cseq))
                return &refer;
            if (id.empty() && newest == nullptr)
                newest = &refer;
            else if (id.empty() && !newest->answered && refer.answered && !refer.over)
                return &refer;
        }
        return newest;
    }

    // ── we are referred ─────────────────────────────────────────────────────────────────────────────────────────────

    void receive_refer(pjsip_rx_data *rdata) {
        const DialogName name(rdata);
        if (name.local_tag.empty())
            return refuse_method(rdata);
        pjsip_dialog *dialog = name.find();
        const pjsua_call *call = call_of(dialog);
        if (call == nullptr)
            return respond(rdata, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST);
        DialogLock lock(dialog);
        if (rdata->msg_info.cseq->cseq <= dialog->remote.cseq) // RFC 3261 §12.2.2
            return respond(rdata, PJSIP_SC_INTERNAL_SERVER_ERROR);
        dialog->remote.cseq = rdata->msg_info.cseq->cseq;
        if (refused_extension(rdata))
            return;
        const bool pending = std::any_of(received.begin(), received.end(), [&](const auto &entry) {
            return entry.second.transaction != nullptr && entry.second.dialog == name;
        });
        if (pending || !is_up(*call))
            return respond(rdata, PJSIP_SC_REQUEST_PENDING);
        if (received.size() >= MOST_RECEIVED)
            return respond(rdata, PJSIP_SC_SERVICE_UNAVAILABLE);
        keep(rdata, dialog, name, call->index);
    }

    void keep(pjsip_rx_data *rdata, pjsip_dialog *dialog, const DialogName &name, int call_id) {
        pjsip_tx_data *response = nullptr;
        pjsip_transaction *transaction = nullptr;
        if (pjsip_endpt_create_response(endpoint, rdata, PJSIP_SC_ACCEPTED, nullptr, &response) != PJ_SUCCESS)
            return;
        if (pjsip_tsx_create_uas(&ReferModule::module, rdata, &transaction) != PJ_SUCCESS) { // a merged one
            pjsip_tx_data_dec_ref(response);
            return;
        }
        const int id = ++last_id;
        transaction->mod_data[ReferModule::module.id] = reinterpret_cast<void *>(static_cast<std::intptr_t>(id));
        const bool first = dialog->mod_data[ReferModule::module.id] == nullptr;
        dialog->mod_data[ReferModule::module.id] = this;
        received.emplace(id, Received{name, rdata->msg_info.cseq->cseq, first, !without_subscription(rdata->msg_info.msg), transaction,
                                      response, steady_seconds() + ANSWER_WITHIN_S, false, 0, {}});
        sweep_soon();
        pjsip_tsx_recv_msg(transaction, rdata);
        server.onRefer(call_id, id, std::string(rdata->msg_info.msg_buf, static_cast<std::size_t>(rdata->msg_info.len)));
    }

    void answer(int id, int status) {
        const auto found = received.find(id);
        if (found == received.end() || found->second.transaction == nullptr)
            return;
        Received &refer = found->second;
        pjsip_transaction *transaction = std::exchange(refer.transaction, nullptr);
        pjsip_tx_data *response = std::exchange(refer.response, nullptr);
        transaction->mod_data[ReferModule::module.id] = nullptr;
        if (status < 200 || status > 699)
            status = PJSIP_SC_INTERNAL_SERVER_ERROR;
        const bool accepted = status < 300;
        response->msg->line.status.code = status;
        response->msg->line.status.reason = *pjsip_get_status_text(status);
        pjsip_dialog *dialog = refer.dialog.find();
        if (accepted && dialog != nullptr) // RFC 3515 §2.2
            pjsip_msg_add_hdr(response->msg, static_cast<pjsip_hdr *>(pjsip_hdr_clone(response->pool, dialog->local.contact)));
        if (accepted && !refer.subscribes) // RFC 4488 §4
            add(response, "Refer-Sub", "false");
        refer.until = steady_seconds() + SUBSCRIBED_FOR_S;
        if (!accepted || !refer.subscribes)
            received.erase(found);
        if (pjsip_tsx_send_msg(transaction, response) != PJ_SUCCESS) {
            pjsip_tx_data_dec_ref(response);
            pjsip_tsx_terminate(transaction, PJSIP_SC_SERVICE_UNAVAILABLE);
        }
    }

    void notify(int id, int status) {
        const auto found = received.find(id);
        if (found == received.end() || found->second.transaction != nullptr || found->second.closed || status < 100 || status > 699)
            return;
        Received &refer = found->second;
        const pjsua_call *call = call_of(refer.dialog.find());
        if (call == nullptr || !is_up(*call))
            return;
        refer.closed = status >= 200;
        if (refer.waiting.size() >= MOST_WAITING)
            refer.waiting.pop_front();
        refer.waiting.push_back(status);
        next_notify(id);
    }

    // One after the other, as UDP may change their order; but the last word, and what waits before it, goes out at once: our
    // BYE is next, and a phone that forgets its dialog with it would never know that it worked. CSeq tells their order.
    void next_notify(int id) {
        const auto found = received.find(id);
        if (found == received.end() || (found->second.in_flight > 0 && !found->second.closed))
            return;
        Received &refer = found->second;
        if (refer.waiting.empty()) {
            if (refer.closed && refer.in_flight == 0)
                received.erase(found);
            return;
        }
        const int status = refer.waiting.front();
        refer.waiting.pop_front();
        pjsip_dialog *dialog = refer.dialog.find();
        pjsip_tx_data *tdata = dialog != nullptr ? request(dialog, "NOTIFY") : nullptr;
        if (tdata == nullptr) {
            received.erase(found);
            return;
        }
        // RFC 3515 §2.4.6: only the first REFER of a dialog may go without an id, and some peers know none.
        add(tdata, "Event", refer.first ? "refer" : "refer;id=" + std::to_string(refer.cseq));
        const int left = std::max(1, static_cast<int>(refer.until - steady_seconds()));
        add(tdata, "Subscription-State", status >= 200 ? "terminated;reason=noresource" : "active;expires=" + std::to_string(left));
        const std::string line = "SIP/2.0 " + std::to_string(status) + " " + text_of(*pjsip_get_status_text(status)) + "\r\n";
        const pj_str_t type = literal("message"), subtype = literal("sipfrag;version=2.0"), body = literal(line.c_str());
        tdata->msg->body = pjsip_msg_body_create(tdata->pool, &type, &subtype, &body);
        ++refer.in_flight;
        const bool more = refer.closed && !refer.waiting.empty();
        send(dialog, tdata, nullptr, [this, id](const Outcome &outcome) { notified(id, outcome); });
        if (more)
            next_notify(id);
    }

    void notified(int id, const Outcome &outcome) {
        const auto found = received.find(id);
        if (found == received.end())
            return;
        --found->second.in_flight;
        // RFC 6665 §4.2.2: nobody listens any more.
        if (outcome.response == nullptr || outcome.status == 481 || outcome.status == 489)
            received.erase(found);
        else
            next_notify(id);
    }

    // ── answers at once ─────────────────────────────────────────────────────────────────────────────────────────────

    void respond(pjsip_rx_data *rdata, int status, const pjsip_hdr *headers = nullptr) {
        pjsip_endpt_respond(endpoint, &ReferModule::module, rdata, status, nullptr, headers, nullptr, nullptr);
    }

    // RFC 3261 §8.2.1
    void refuse_method(pjsip_rx_data *rdata) {
        pjsip_hdr headers;
        pj_list_init(&headers);
        if (const pjsip_hdr *allow = pjsip_endpt_get_capability(endpoint, PJSIP_H_ALLOW, nullptr))
            pj_list_push_back(&headers, pjsip_hdr_clone(rdata->tp_info.pool, allow));
        respond(rdata, PJSIP_SC_METHOD_NOT_ALLOWED, &headers);
    }

    // RFC 3261 §8.2.2.3: 420 when an extension is required that we do not have.
    bool refused_extension(pjsip_rx_data *rdata) {
        pjsip_unsupported_hdr *missing = nullptr;
        const void *from = nullptr;
        while (const auto *require = static_cast<const pjsip_require_hdr *>(
                   pjsip_msg_find_hdr(rdata->msg_info.msg, PJSIP_H_REQUIRE, const_cast<void *>(from)))) {
            for (unsigned i = 0; i < require->count; ++i) {
                if (pjsip_endpt_has_capability(endpoint, PJSIP_H_SUPPORTED, nullptr, &require->values[i]))
                    continue;
                if (missing == nullptr)
                    missing = pjsip_unsupported_hdr_create(rdata->tp_info.pool);
                if (missing->count < PJSIP_GENERIC_ARRAY_MAX_COUNT)
                    missing->values[missing->count++] = require->values[i];
            }
            from = require->next;
        }
        if (missing == nullptr)
            return false;
        pjsip_hdr headers;
        pj_list_init(&headers);
        pj_list_push_back(&headers, missing);
        respond(rdata, PJSIP_SC_BAD_EXTENSION, &headers);
        return true;
    }

    // ── what is over ────────────────────────────────────────────────────────────────────────────────────────────────

    void sweep_soon() {
        if (ReferModule::sweeper.id != 0)
            return;
        const pj_time_val delay = {0, SWEEP_EVERY_MS};
        ReferModule::sweeper.id = 1;
        if (pjsip_endpt_schedule_timer(endpoint, &ReferModule::sweeper, &delay) != PJ_SUCCESS)
            ReferModule::sweeper.id = 0;
    }

    void sweep() {
        const double now = steady_seconds();
        for (auto it = sent.begin(); it != sent.end();) {
            Sent &refer = it->second;
            if (!refer.answered || refer.dialog.find() != nullptr)
                refer.forget_at = now + REMEMBERED_FOR_S;
            it = now > refer.forget_at ? sent.erase(it) : std::next(it);
        }
        for (auto it = received.begin(); it != received.end();) {
            const int id = it->first;
            const Received &refer = it->second;
            const bool over = call_of(refer.dialog.find()) == nullptr, late = now > refer.until;
            ++it; // answer() may erase it
            if (refer.transaction != nullptr && (over || late))
                answer(id, over ? PJSIP_SC_CALL_TSX_DOES_NOT_EXIST : PJSIP_SC_INTERNAL_SERVER_ERROR);
            else if ((over || late) && refer.in_flight == 0)
                received.erase(id);
        }
        if (!sent.empty() || !received.empty())
            sweep_soon();
    }

    // The transaction of a REFER that came is gone before we answered.
    void lost(int id) {
        const auto found = received.find(id);
        if (found == received.end() || found->second.transaction == nullptr)
            return;
        pjsip_tx_data_dec_ref(found->second.response);
        received.erase(found);
    }

    void end() {
        while (!flights.empty()) {
            const int id = flights.begin()->first;
            pjsip_tsx_terminate(flights.begin()->second.transaction, PJSIP_SC_SERVICE_UNAVAILABLE);
            flights.erase(id);
        }
        while (!received.empty()) {
            const int id = received.begin()->first;
            answer(id, PJSIP_SC_CALL_TSX_DOES_NOT_EXIST);
            received.erase(id);
        }
        sent.clear();
    }
};

pj_bool_t ReferModule::on_rx_request(pjsip_rx_data *rdata) {
    if (current == nullptr)
        return PJ_FALSE;
    const pjsip_msg *msg = rdata->msg_info.msg;
    const pjsip_method &asked = msg->line.req.method;
    if (is(asked, "REFER")) {
        current->state_->receive_refer(rdata);
        return PJ_TRUE;
    }
    if (!is(asked, "NOTIFY"))
        return PJ_FALSE;
    const pj_str_t name = literal("Event"), compact = literal("o");
    const auto *event = static_cast<const pjsip_event_hdr *>(pjsip_msg_find_hdr_by_names(msg, &name, &compact, nullptr));
    if (event == nullptr || pj_stricmp2(&event->event_type, "refer") != 0)
        return PJ_FALSE;
    current->state_->receive_notify(rdata, event);
    return PJ_TRUE;
}

void ReferModule::on_tsx_state(pjsip_transaction *transaction, pjsip_event *event) {
    if (current == nullptr || module.id < 0)
        return;
    const int id = static_cast<int>(reinterpret_cast<std::intptr_t>(transaction->mod_data[module.id]));
    if (id == 0)
        return;
    if (transaction->role == PJSIP_ROLE_UAC && transaction->state >= PJSIP_TSX_STATE_COMPLETED)
        current->state_->landed(id, transaction, event);
    else if (transaction->role == PJSIP_ROLE_UAS && transaction->state >= PJSIP_TSX_STATE_TERMINATED)
        current->state_->lost(id);
}

void ReferModule::on_sweep(pj_timer_heap_t *, pj_timer_entry *entry) {
    entry->id = 0;
    if (current != nullptr)
        current->state_->sweep();
}

ReferServer::ReferServer() : state_(std::make_unique<State>(*this)) {}

ReferServer::~ReferServer() { remove(); }

void ReferServer::install() {
    if (state_->installed)
        return;
    state_->endpoint = pjsua_get_pjsip_endpt();
    pjsip_module &module = ReferModule::module;
    module = pjsip_module{};
    module.name = literal("mod-refer-server");
    module.id = -1;
    module.priority = BEFORE_DIALOGS;
    module.on_rx_request = &ReferModule::on_rx_request;
    module.on_tsx_state = &ReferModule::on_tsx_state;
    pj_timer_entry_init(&ReferModule::sweeper, 0, nullptr, &ReferModule::on_sweep);
    const pj_status_t status = pjsip_endpt_register_module(state_->endpoint, &module);
    if (status != PJ_SUCCESS)
        throw pj::Error(status, "ReferServer::install()", "", __FILE__, __LINE__);
    ReferModule::current = this;
    state_->installed = true;
}

void ReferServer::remove() {
    if (!state_->installed)
        return;
    if (pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt(); endpoint != nullptr) {
        state_->end();
        if (ReferModule::sweeper.id != 0)
            pjsip_endpt_cancel_timer(endpoint, &ReferModule::sweeper);
        pjsip_endpt_unregister_module(endpoint, &ReferModule::module);
    }
    ReferModule::sweeper.id = 0;
    ReferModule::current = nullptr;
    state_->installed = false;
}

void ReferServer::onRefer(int, int refer_id, const std::string &) { answer(refer_id, PJSIP_SC_DECLINE); }

void ReferServer::answer(int refer_id, int status) { state_->answer(refer_id, status); }

void ReferServer::notify(int refer_id, int status) { state_->notify(refer_id, status); }

void ReferServer::refer(int call_id, const std::string &key, const std::string &refer_to, const std::string &referred_by) {
    if (refer_to.empty() || !is_header_value(refer_to) || !is_header_value(referred_by))
        throw std::invalid_argument("Refer-To or Referred-By is no header value");
    state_->refer(call_id, key, refer_to, referred_by);
}

void ReferServer::onReferAnswered(const std::string &, int, bool, bool) {}

void ReferServer::onNotify(const std::string &, int) {}

int ReferServer::remembered() const { return static_cast<int>(state_->sent.size() + state_->received.size() + state_->flights.size()); }

} // namespace switchhook
