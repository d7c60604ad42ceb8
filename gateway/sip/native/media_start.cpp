// Gives each UDP media transport a media_start() that the media thread cannot run into. See media_start.hpp.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "media_start.hpp"

#include <pjsua-lib/pjsua.h>
extern "C" {
#include <pjsua-lib/pjsua_internal.h>
}

namespace switchhook {

namespace {

using CreateTransport = pjmedia_transport *(*)(pjsua_call_id, unsigned, pjmedia_transport *, unsigned);

// All UDP transports share one table of operations; ours is that one but for media_start().
pjmedia_transport_op *upstream = nullptr;
pjmedia_transport_op guarded;
CreateTransport upstreamCreate = nullptr;

// The group lock is the lock of both sockets' keys in the I/O queue, which the media thread only tries to take before it
// reads: while we hold it, it passes the socket by, and comes back to it since there is still something to read.
pj_status_t startLocked(pjmedia_transport *transport, pj_pool_t *pool, const pjmedia_sdp_session *ours,
                        const pjmedia_sdp_session *theirs, unsigned index) {
    pj_grp_lock_t *lock = transport->grp_lock;
    pj_grp_lock_acquire(lock);
    const pj_status_t status = upstream->media_start(transport, pool, ours, theirs, index);
    pj_grp_lock_release(lock);
    return status;
}

void guard(pjmedia_transport *transport) {
    if (transport == nullptr || transport->type != PJMEDIA_TRANSPORT_TYPE_UDP || transport->grp_lock == nullptr ||
        transport->op == &guarded)
        return;
    upstream = transport->op;
    guarded = *upstream;
    guarded.media_start = &startLocked;
    transport->op = &guarded;
}

// PJSUA asks once per transport, when its sockets are bound and nobody knows of them yet. What it gives is the SRTP adapter
// that it puts around every transport.
pjmedia_transport *onCreateTransport(pjsua_call_id call_id, unsigned index, pjmedia_transport *transport, unsigned flags) {
    guard(pjsua_var.calls[call_id].media_prov[index].tp_orig);
    return upstreamCreate != nullptr ? upstreamCreate(call_id, index, transport, flags) : transport;
}

} // namespace

void guardMediaStart() {
    if (pjsua_var.ua_cfg.cb.on_create_media_transport == &onCreateTransport)
        return;
    upstreamCreate = pjsua_var.ua_cfg.cb.on_create_media_transport;
    pjsua_var.ua_cfg.cb.on_create_media_transport = &onCreateTransport;
}

} // namespace switchhook
