// What a SIP message may look like at most, before anything is spent on it; gatekeeper.cpp asks for each one that comes in.
// SPDX-License-Identifier: GPL-2.0-or-later
//
// PJSIP's parser has run by then: it has dropped what has no Call-ID, From, To, CSeq or Via, what it cannot parse, and more
// than 32 values in one Allow, Require or Supported. What it lets through, and its upper layers take at face value, is
// looked at here: in requests and in responses, which need no call to arrive (pjsip.md, Gatekeeper).
#ifndef SWITCHHOOK_SANITY_HPP
#define SWITCHHOOK_SANITY_HPP

struct pjsip_rx_data;

namespace switchhook {

// What is wrong with this message, as the reason phrase of a 400 (RFC 3261 §21.4.1), or nullptr. Never allocates; reads the
// head, and the SDP if there is one, once.
const char *fault_of(const pjsip_rx_data *rdata);

} // namespace switchhook

#endif
