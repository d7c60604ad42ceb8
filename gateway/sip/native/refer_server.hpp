// ReferServer: REFER in the dialogs of calls, both ways, and the NOTIFYs that follow; sip/refers.py hears of them.
// SPDX-License-Identifier: GPL-2.0-or-later
//
// PJSUA dials whatever a Refer-To says, at once and by itself, and does not tell of a NOTIFY without a body or after the end
// of the call (pjsip.md, "What bites"). So this module stands between the transactions, which absorb retransmissions, and
// the dialogs: PJSUA sees no REFER, and no NOTIFY of one. What it sends goes past the dialog's own transactions: whatever
// becomes of it, the call goes on.
#ifndef SWITCHHOOK_REFER_SERVER_HPP
#define SWITCHHOOK_REFER_SERVER_HPP

#include <pjsua2.hpp>

#include <memory>
#include <string>

namespace switchhook {

// One per process, as PJSIP has one endpoint. All in the PJSIP thread; callbacks may call it.
class ReferServer {
  public:
    ReferServer();
    virtual ~ReferServer(); // removes the module if that was not done

    // Stand in the way; after libInit(). Throws pj::Error.
    void install() PJSUA2_THROW(pj::Error);

    // Step aside; before libDestroy(). REFERs of ours that are not answered yet are told of as 503.
    void remove();

    // A REFER came in the dialog of this PJSUA call; `refer_id` is fresh, `text` the whole message. answer() is due at once:
    // 500 goes out after a while, and 481 as soon as the call is over.
    virtual void onRefer(int call_id, int refer_id, const std::string &text);

    // The final response, 200 to 699; nothing if it has one. With 2xx the referrer is told more by notify(), unless it said
    // `Refer-Sub: false` (RFC 4488 §4).
    void answer(int refer_id, int status);

    // NOTIFY with the status line of `status`: of 200 or more it is the last (RFC 3515 §2.4.5), and goes out at once; others
    // wait until the one before is answered, so that they arrive in order. Nothing when the call or the subscription is over.
    void notify(int refer_id, int status);

    // Send REFER in the dialog of this PJSUA call. `refer_to` and `referred_by` are header values, an empty one is left
    // out. onReferAnswered(key) follows once, perhaps before this returns; not if there is a newer REFER in the dialog by
    // then. Throws std::invalid_argument for what is no header value.
    void refer(int call_id, const std::string &key, const std::string &refer_to, const std::string &referred_by);

    // Its final status. Nobody answered it: 408; it could not be sent: 503; there is no such call: 481; `by_peer` is false
    // then. `notifies`: NOTIFYs are to come.
    virtual void onReferAnswered(const std::string &key, int status, bool by_peer, bool notifies);

    // A NOTIFY of it came with this status line, perhaps after the end of the call. One without a readable status line, or
    // older than the last one, is only answered; so is one of a REFER that is not the newest of its dialog.
    virtual void onNotify(const std::string &key, int status);

    // How much is remembered: REFERs of ours, REFERs that came, requests that are on their way.
    int remembered() const;

  private:
    struct State;
    std::unique_ptr<State> state_;

    friend struct ReferModule;
    ReferServer(const ReferServer &) = delete;
    ReferServer &operator=(const ReferServer &) = delete;
};

} // namespace switchhook

#endif
