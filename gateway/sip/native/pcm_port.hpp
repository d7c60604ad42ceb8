// PcmPort and PcmHub: audio between Python and PJSIP's conference bridge that never waits for Python; sip/media.py uses them.
// SPDX-License-Identifier: GPL-2.0-or-later
//
// Three threads meet here, and only two of them may wait:
//   the media clock    calls pull() and push() of every port each 20 ms: no lock, no allocation, no Python;
//   the PJSIP thread   creates and closes ports, and may write;
//   asyncio            writes, flushes, and drains all ports in one call when the hub's one descriptor says so.
// All samples are 16-bit mono in the machine's byte order, at the rate given to createPort().
#ifndef SWITCHHOOK_PCM_PORT_HPP
#define SWITCHHOOK_PCM_PORT_HPP

#include <pjsua2.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace switchhook {

class PcmCore; // what the media clock sees of a port
class HubCore; // what it sees of the hub

// What PcmHub.drain() tells; `kind` of its tuples (port_id, kind, value, data).
enum PcmEventKind {
    PCM_AUDIO = 1,   // captured samples: value = index of the first one since capture first began, data = bytes
    PCM_PLAYED = 2,  // the last sample of a tagged buffer went to the bridge: value = tag, data = position there (int)
    PCM_FLUSHED = 3, // a tagged buffer was dropped by flush(): value = tag, data = samples of it that were played (int)
    PCM_DROPPED = 4, // nobody drained in time: value = samples lost since the last such event, data = None
};

// What a port did; times are native and monotonic, so a busy interpreter does not disturb the measurement.
struct PcmStats {
    std::uint64_t framesOut = 0;   // times that the bridge asked this port for a frame (only while somebody listens to it)
    std::uint64_t framesIn = 0;    // times that the bridge gave this port a frame (each tick)
    std::uint64_t maxGapOutUs = 0; // longest time between two of the former
    std::uint64_t maxGapInUs = 0;  // longest time between two of the latter
    std::uint64_t underruns = 0;   // frames that came up short although the writer had said that more follows
    std::uint64_t captured = 0;    // samples taken in
    std::uint64_t dropped = 0;     // samples lost because nobody drained
};

// What the media clock did, as seen by all ports of a hub together.
struct PcmHubStats {
    std::uint64_t ticks = 0;
    std::uint64_t maxGapUs = 0; // longest time between two ticks
    std::uint64_t signals = 0;  // times that the descriptor was written
    std::uint64_t ports = 0;
};

// One thing that happened; audio is at `offset` in the buffer that collect() filled.
struct PcmEvent {
    int port;
    PcmEventKind kind;
    std::int64_t value;
    std::int64_t extra;
    std::size_t offset;
    std::size_t samples;
};

// Samples made once and played by many ports: a cached prompt costs its memory once, whoever hears it.
class PcmBuffer {
public:
    PcmBuffer() = default;
    PcmBuffer(const char *pcm, std::size_t bytes); // ValueError when the bytes are not whole samples
    std::size_t samples() const { return data_ ? data_->size() : 0; }
    const std::shared_ptr<const std::vector<std::int16_t>> &shared() const { return data_; }

private:
    std::shared_ptr<const std::vector<std::int16_t>> data_;
};

// One descriptor for all ports of a process. It becomes readable once per tick in which anything happened.
class PcmHub {
public:
    PcmHub();
    ~PcmHub();
    PcmHub(const PcmHub &) = delete;
    PcmHub &operator=(const PcmHub &) = delete;

    // An eventfd, readable when drain() has something to give. Closed with the hub and its last port.
    int fd() const;

    // All that happened since the last call; Python sees it as drain() -> [(port_id, kind, value, data)].
    void collect(std::vector<PcmEvent> &events, std::vector<std::int16_t> &audio);

    PcmHubStats stats(bool reset = false);

    const std::shared_ptr<HubCore> &core() const { return core_; }

private:
    std::shared_ptr<HubCore> core_;
};

// A port of the bridge with a queue of buffers out (what the peer hears) and a ring in (what the peer says).
// Every method but createPort(), close() and the destructor may be called from any thread at any time; on a closed port
// they do nothing, so that asyncio and the end of a call need not agree on the order.
class PcmPort : public pj::AudioMedia {
public:
    // port_id is what drain() calls this port; captureMs is how long drain() may stay away before audio is lost.
    PcmPort(PcmHub &hub, int port_id, unsigned captureMs = 2000);
    virtual ~PcmPort();
    PcmPort(const PcmPort &) = delete;
    PcmPort &operator=(const PcmPort &) = delete;

    // Registers with the bridge, which resamples when the rates differ. PJSIP thread only.
    void createPort(unsigned clock_rate, unsigned samples_per_frame);

    // Leaves the bridge and frees all audio; no event of this port is given afterwards. PJSIP thread only.
    void close();

    // Queues samples; returns the position at which they end. A tag other than 0 is told when the last
    // sample was played. more=True says that the stream goes on: running dry then counts as an underrun.
    // No samples and a tag make a mark: told when everything before it was played.
    // (From Python, any bytes-like object serves as a PcmBuffer here and in loop(): it is copied once.)
    std::int64_t write(const PcmBuffer &pcm, std::int64_t tag = 0, bool more = false);

    // Repeats the samples, after what is queued, until flush(): hold music, ringback, tones.
    void loop(const PcmBuffer &pcm);

    // Drops everything queued, the buffer that is being played included (barge-in); returns the position, which is exact:
    // not one sample of what was dropped is played after this returns.
    std::int64_t flush();

    std::int64_t position() const; // samples given to the bridge so far, silence not counted
    std::int64_t queued() const;   // samples that wait, looped ones not counted
    std::uint64_t underruns() const;
    void set_capture(bool on);
    int id() const;
    PcmStats stats(bool reset = false);

private:
    std::shared_ptr<PcmCore> core_;
    pjmedia_port *port_ = nullptr;
    unsigned pjlibLife_ = 0;
};

// The epoll descriptor under PJSIP's SIP sockets, to be polled beside an eventfd before libHandleEvents(0).
// (Endpoint.libGetSipIoqueueHandle() gives the *address* of it.) -1 before libCreate().
int sipPollFd();

} // namespace switchhook

#endif
