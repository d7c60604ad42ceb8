// What PJSUA does not tell of an INVITE, or of the dialog that it began; sip/outbound.py and sip/legs.py ask.
// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef SWITCHHOOK_INVITE_HPP
#define SWITCHHOOK_INVITE_HPP

#include <string>

namespace switchhook {

// The last status of the INVITE of a PJSUA call, a 100 too (PJSUA's own state keeps silent about it, yet it tells a slow
// carrier from a dead one); 0 when nothing came back, or there is no such call or INVITE. In the PJSIP thread.
int inviteStatus(int call_id);

// What carries the INVITE of a PJSUA call: "UDP", "TCP", "TLS"; "" as long as it could not be sent (a connection is being
// made), or there is no such call or INVITE. In the PJSIP thread.
std::string inviteTransport(int call_id);

// The PJSUA call that a dialog belongs to (RFC 3261 §12), an early one too, and one that is over as long as PJSIP waits for
// the end of its last transaction and no other call has that number; -1 if there is none. The tags are those of our end and
// of the peer's. In the PJSIP thread.
int callOfDialog(const std::string &call_id, const std::string &local_tag, const std::string &remote_tag);

} // namespace switchhook

#endif
