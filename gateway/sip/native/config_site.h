/* What we change in PJSIP's compile-time configuration, and why: copied to pjlib/include/pj/config_site.h by build.sh.
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef SWITCHHOOK_CONFIG_SITE_H
#define SWITCHHOOK_CONFIG_SITE_H

/* How many ------------------------------------------------------------------------------------------------------ */
#define PJSUA_MAX_CALLS 1200                    /* legs in one process (default 4); slots are searched linearly      */
#define PJSUA_MAX_CONF_PORTS 4096               /* a leg and its PcmPort, each; costs 8 bytes x this *per port*      */
#define PJSUA_MAX_ACC 256                       /* trunks (default 8)                                                */
#define PJSUA_MAX_PLAYERS 2048                  /* default 32                                                        */
#define PJSUA_MAX_RECORDERS 2048                /* default 32                                                        */
#define PJ_IOQUEUE_MAX_HANDLES 8192             /* RTP + RTCP socket per leg, and TCP/TLS connections (default 64)   */
#define PJSIP_MAX_TSX_COUNT 16383               /* a transaction stays 32 s: 300 calls/s need this (2^n - 1)         */
#define PJSIP_MAX_DIALOG_COUNT 8191             /* hash size, not a limit: shorter chains (2^n - 1)                  */
#define PJMEDIA_EVENT_MAX_EVENTS 4096           /* 16 loses events: 200 players gave 36 end-of-file callbacks        */

/* How big ------------------------------------------------------------------------------------------------------- */
#define PJSIP_MAX_PKT_LEN 16000                 /* 4000 silently drops INVITEs with long header lists or SDP         */
#define PJSIP_MAX_URL_SIZE 1024                 /* Replaces in a Refer-To overflows 2 x 256                          */
#define PJ_LOG_MAX_SIZE 17000                   /* a whole message in a SIP trace (stack buffer of the logging call) */
#define PJSIP_UDP_SO_RCVBUF_SIZE (4 * 1024 * 1024) /* a burst of INVITEs waits instead of being lost                 */
#define PJSIP_UDP_SO_SNDBUF_SIZE (4 * 1024 * 1024)
#define PJSIP_TCP_TRANSPORT_BACKLOG 512         /* default 5: connections are refused when a carrier reconnects      */
#define PJSIP_TLS_TRANSPORT_BACKLOG 512

/* How long ------------------------------------------------------------------------------------------------------ */
#define PJSIP_TCP_INITIAL_TIMEOUT 20            /* seconds for the first valid message; 0 keeps idle strangers       */
#define PJ_IOQUEUE_DEFAULT_EPOLL_FLAGS 0        /* EXCLUSIVE/ONESHOT are for several threads on one queue; with the
                                                 * default, each RTP packet costs four epoll_ctl calls               */
#define PJSIP_MAX_NET_EVENTS 16                 /* events per turn of the poll loop (default 1: a syscall for each)  */

/* What must not block or crash ---------------------------------------------------------------------------------- */
#define PJ_GETHOSTIP_DISABLE_LOCAL_RESOLUTION 1 /* else each outgoing call resolves our own host name, blocking      */
#define PJ_TIMER_DEBUG 0                        /* default 1 stores file:line in each timer                          */
#define PJ_LOG_MAX_LEVEL 4                      /* 4 = SIP traces can be switched on; 5 is debugging of PJSIP        */

/* RTP source lock: PJSIP adopts a new source after this many stray packets with none from the right source among them
 * (default 10: a sprayer needs 500 packets a second). With 500 he needs 25,000 a second, per call. A peer that really
 * moved without saying so comes back after 10 s; one that says so (re-INVITE), or that was never heard yet, at once. */
#define PJMEDIA_RTP_NAT_PROBATION_CNT 500
#define PJMEDIA_RTCP_NAT_PROBATION_CNT 50       /* RTCP comes every 5 s; default 3                                   */

#define PJMEDIA_RTP_PT_TELEPHONE_EVENTS 101     /* what everybody uses, and what some SBCs insist on (default 120)   */

/* Not sold: no code, no attack surface --------------------------------------------------------------------------
 * (configure switches add speex, gsm, ilbc, g7221 and silk: see build.sh; G.711, G.722, Opus and G.729 stay.) */
#define PJMEDIA_HAS_VIDEO 0
#define PJMEDIA_HAS_L16_CODEC 0
#define PJMEDIA_HAS_GSM_CODEC 0
#define PJMEDIA_HAS_SPEEX_CODEC 0
#define PJMEDIA_HAS_ILBC_CODEC 0
#define PJMEDIA_HAS_G7221_CODEC 0
#define PJMEDIA_HAS_G711_CODEC 1
#define PJMEDIA_HAS_G722_CODEC 1

#endif
