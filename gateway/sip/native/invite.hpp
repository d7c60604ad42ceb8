// What PJSUA does not tell of an INVITE of ours; sip/outbound.py asks.
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

} // namespace switchhook

#endif
