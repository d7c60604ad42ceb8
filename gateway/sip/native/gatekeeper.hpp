// Gatekeeper: who is let in, decided before the transaction layer has spent anything; sip/legs.py gives it its table.
// SPDX-License-Identifier: GPL-2.0-or-later
//
// PJSUA answers whoever speaks SIP to it: 200 to a stranger's OPTIONS, 200 to a MESSAGE, 404 to the rest. A gateway on the
// internet must not be found that way (hostile-world.md, "Security"), and a call slot, a dialog and two sockets are too much
// to spend on a scanner. So this module stands in front of all others and sees each message first.
#ifndef SWITCHHOOK_GATEKEEPER_HPP
#define SWITCHHOOK_GATEKEEPER_HPP

#include <pjsua2.hpp>

#include <cstdint>
#include <memory>
#include <string>

namespace switchhook {

// How often each decision was taken.
struct GateCounts {
    std::uint64_t passed = 0;
    std::uint64_t stranger = 0; // a source in no table: no answer at all
    std::uint64_t method = 0;   // a request that we do not serve: 405
    std::uint64_t rate = 0;     // its source asks too often: 503, or no answer
    std::uint64_t cps = 0;      // more new calls a second than the node takes: 503, Retry-After
    std::uint64_t draining = 0, overloaded = 0;          // turned away, see GateReason: 503, Retry-After
    std::uint64_t malformed = 0, malformed_response = 0; // sanity.hpp, and a Replaces that RFC 3891 forbids: a request 400
                                                         // (an ACK nothing), a response nothing
};

// Why calls are turned away.
enum GateReason { GATE_DRAINING, GATE_OVERLOADED };

// The transports that a network may use, as bits.
enum GateTransport { GATE_UDP = 1, GATE_TCP = 2, GATE_TLS = 4 };

// One per process, as PJSIP has one endpoint. All but `counts` in the PJSIP thread.
class Gatekeeper {
  public:
    Gatekeeper();
    ~Gatekeeper(); // removes the module if that was not done

    // Stand in front; after libInit() and before libStart(). Throws pj::Error.
    void install() PJSUA2_THROW(pj::Error);

    // Step aside; before libDestroy().
    void remove();

    // Let requests from `network` ("203.0.113.0/24", IPv4 or IPv6) in over these transports (GateTransport bits). They join
    // a table that `swap` makes the one in force. Throws std::invalid_argument for what is no network.
    void admit(const std::string &network, int transports);

    // From now on the networks admitted since the last swap are let in, and no others.
    void swap();

    // How many requests outside of a dialog each source address may send; 0 is no limit. Over it, INVITE and OPTIONS get a 503
    // without Retry-After (the node is not full) while there are less than 200 such refusals a second in all; the rest gets
    // no answer. ACK, CANCEL and retransmissions are not counted. Throws std::invalid_argument (a burst is at least 1).
    void setSourceRate(double per_second, double burst);

    // How many new calls the whole node takes; 0 is no limit. Over it, 503 with Retry-After. A retransmission of an INVITE
    // that was let in is no new call. Throws std::invalid_argument.
    void setCallRate(double per_second, double burst);

    // From now on new INVITEs, and OPTIONS outside of dialogs, get 503 and `Retry-After: seconds`; what belongs to a call or
    // a transaction that there is goes on. Again: with other seconds, for another reason. Throws std::invalid_argument.
    void turnAway(int retry_after_seconds, GateReason why);

    // The end of turnAway.
    void takeCalls();

    GateCounts counts() const;

  private:
    struct State;
    std::unique_ptr<State> state_;

    friend struct GateModule;
    Gatekeeper(const Gatekeeper &) = delete;
    Gatekeeper &operator=(const Gatekeeper &) = delete;
};

// PJSIP's settings that no configuration reaches; after libCreate(). An INFO of ours that nobody answers no longer ends the
// call (RFC 6086 §4.2.1 knows no such consequence; PJSIP has it as default for every request in a dialog).
void tuneEndpoint();

} // namespace switchhook

#endif
