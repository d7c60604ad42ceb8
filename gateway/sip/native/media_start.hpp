// RTP that is there before us must not leave a leg deaf; sip/endpoint.py asks for it, once per libInit().
// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef SWITCHHOOK_MEDIA_START_HPP
#define SWITCHHOOK_MEDIA_START_HPP

namespace switchhook {

// From now on the start of a leg's media cannot be overtaken by its first RTP packet. PJSIP's UDP transport asks for packets
// first and only then notes that it has started. Whoever answers and talks at once (or talks on through a re-INVITE) has a
// packet in the socket by then: the media thread takes it in between, finds a transport that has not started, and never reads
// from it again: the leg is heard by nobody as long as its media last. To be called after libInit(), in the PJSIP thread,
// before there are calls.
void guardMediaStart();

} // namespace switchhook

#endif
