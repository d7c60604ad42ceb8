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

int callOfDialog(const std::string &call_id, const std::string &local_tag, const std::string &remote_tag) {
    if (call_id.empty() || local_tag.empty() || remote_tag.empty())
        return -1;
    const auto text = [](const std::string &value) {
        return pj_str_t{const_cast<char *>(value.data()), static_cast<pj_ssize_t>(value.size())};
    };
    const pj_str_t id = text(call_id), ours = text(local_tag), theirs = text(remote_tag);
    pjsip_dialog *dialog = pjsip_ua_find_dialog(&id, &ours, &theirs, PJ_FALSE);
    if (dialog == nullptr)
        return -1;
    const pjsip_inv_session *session = pjsip_dlg_get_inv_session(dialog);
    const auto *call = static_cast<const pjsua_call *>(dialog->mod_data[pjsua_var.mod.id]);
    if (session == nullptr || call == nullptr || (call->inv != nullptr && call->inv != session))
        return -1;
    return call->index;
}

} // namespace switchhook
