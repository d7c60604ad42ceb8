// Looks at PJSUA's own record of a call. See invite.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "invite.hpp"

#include <pjsua-lib/pjsua.h>
extern "C" {
#include <pjsua-lib/pjsua_internal.h>
}

namespace switchhook {

int inviteStatus(int call_id) {
    if (call_id < 0 || call_id >= static_cast<int>(pjsua_var.ua_cfg.max_calls))
        return 0;
    const pjsip_inv_session *session = pjsua_var.calls[call_id].inv;
    return session != nullptr && session->invite_tsx != nullptr ? session->invite_tsx->status_code : 0;
}

std::string inviteTransport(int call_id) {
    if (call_id < 0 || call_id >= static_cast<int>(pjsua_var.ua_cfg.max_calls))
        return "";
    const pjsip_inv_session *session = pjsua_var.calls[call_id].inv;
    const pjsip_transaction *tsx = session != nullptr ? session->invite_tsx : nullptr;
    return tsx != nullptr && tsx->transport != nullptr ? tsx->transport->type_name : "";
}

} // namespace switchhook
