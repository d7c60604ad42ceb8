// LateCancel: the Reason header of a CANCEL that PJSIP sends by itself; sip/outbound.py names it.
// SPDX-License-Identifier: GPL-2.0-or-later
//
// RFC 3261 §9.1: no CANCEL before a provisional response. Who is released before one gets it from PJSIP when it comes, without
// the headers that the release had: a phone would show a call as missed that was answered elsewhere (RFC 3326 §3.1).
#ifndef SWITCHHOOK_LATE_CANCEL_HPP
#define SWITCHHOOK_LATE_CANCEL_HPP

#include <pjsua2.hpp>

#include <memory>
#include <string>

namespace switchhook {

// One per process, as PJSIP has one endpoint. All in the PJSIP thread.
class LateCancel {
  public:
    LateCancel();
    ~LateCancel(); // removes the module if that was not done

    // After libInit(). Throws pj::Error.
    void install() PJSUA2_THROW(pj::Error);

    // Before libDestroy().
    void remove();

    // A CANCEL of this PJSUA call that has no Reason gets this one; nothing if there is no such call. It is forgotten after
    // a minute. Throws std::invalid_argument for what is no header value.
    void reason(int call_id, const std::string &value);

  private:
    struct State;
    std::unique_ptr<State> state_;

    friend struct LateCancelModule;
    LateCancel(const LateCancel &) = delete;
    LateCancel &operator=(const LateCancel &) = delete;
};

} // namespace switchhook

#endif
