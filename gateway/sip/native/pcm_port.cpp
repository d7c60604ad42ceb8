// PcmPort and PcmHub: see pcm_port.hpp for what they promise, and here for how that is kept without a lock on the media clock.
// SPDX-License-Identifier: GPL-2.0-or-later
#include "pcm_port.hpp"

#include <pjsua-lib/pjsua.h>
#include <pjsua-lib/pjsua_internal.h>

#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <deque>
#include <mutex>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

namespace switchhook {

namespace {

using Samples = std::vector<std::int16_t>;
using SharedSamples = std::shared_ptr<const Samples>;

SharedSamples copySamples(const char *pcm, std::size_t bytes) {
    if (bytes % sizeof(std::int16_t) != 0)
        throw std::invalid_argument("PCM is 16-bit samples: got " + std::to_string(bytes) + " bytes, an odd number");
    if (bytes == 0)
        return nullptr;
    auto copy = std::make_shared<Samples>(bytes / sizeof(std::int16_t));
    std::memcpy(copy->data(), pcm, bytes);
    return copy;
}

std::uint64_t nowUs() {
    timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1000000u + static_cast<std::uint64_t>(t.tv_nsec) / 1000u;
}

// Written by the media clock alone, read by anybody: plain loads and stores, no locked instruction.
class Counter {
public:
    void add(std::uint64_t n) { value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
    std::uint64_t get() const { return value_.load(std::memory_order_relaxed); }

private:
    std::atomic<std::uint64_t> value_{0};
};

// Longest interval between calls of beat(); reset() asks the media clock to begin anew, since only it may write.
class Gap {
public:
    void beat(std::uint64_t now) {
        if (restart_.exchange(false, std::memory_order_relaxed))
            max_.store(0, std::memory_order_relaxed);
        else if (last_ != 0 && now - last_ > max_.load(std::memory_order_relaxed))
            max_.store(now - last_, std::memory_order_relaxed);
        last_ = now;
    }
    std::uint64_t get() const { return restart_.load(std::memory_order_relaxed) ? 0 : max_.load(std::memory_order_relaxed); }
    void reset() { restart_.store(true, std::memory_order_relaxed); }

private:
    std::uint64_t last_ = 0;
    std::atomic<std::uint64_t> max_{0};
    std::atomic<bool> restart_{false};
};

// Lets another thread wait until the media clock has left a section that it may have entered before a flag was set.
// The media clock only counts; the one who wants to change something waits (for the microseconds that a frame takes).
class Gate {
public:
    void enter() { count_.fetch_add(1, std::memory_order_seq_cst); } // odd: inside
    void leave() { count_.fetch_add(1, std::memory_order_release); }
    void wait() const {
        const std::uint32_t seen = count_.load(std::memory_order_seq_cst);
        while ((seen & 1u) != 0 && count_.load(std::memory_order_acquire) == seen)
            std::this_thread::yield();
    }

private:
    std::atomic<std::uint32_t> count_{0};
};

class GateGuard {
public:
    explicit GateGuard(Gate &gate) : gate_(gate) { gate_.enter(); }
    ~GateGuard() { gate_.leave(); }
    GateGuard(const GateGuard &) = delete;
    GateGuard &operator=(const GateGuard &) = delete;

private:
    Gate &gate_;
};

// Single producer (media clock), single consumer (drain); indices run for ever and are taken modulo the size.
class Ring {
public:
    explicit Ring(std::size_t samples) {
        std::size_t size = 1;
        while (size < samples)
            size *= 2;
        data_.resize(size);
    }

    bool push(const std::int16_t *from, std::size_t n) {
        const std::size_t tail = tail_.load(std::memory_order_relaxed);
        if (data_.size() - (tail - head_.load(std::memory_order_acquire)) < n)
            return false;
        const std::size_t at = tail & (data_.size() - 1);
        const std::size_t first = std::min(n, data_.size() - at);
        std::memcpy(&data_[at], from, first * sizeof(*from));
        std::memcpy(data_.data(), from + first, (n - first) * sizeof(*from));
        tail_.store(tail + n, std::memory_order_release);
        return true;
    }

    // Appends all there is; returns how much that was.
    std::size_t pop(Samples &to) {
        const std::size_t head = head_.load(std::memory_order_relaxed);
        const std::size_t n = tail_.load(std::memory_order_acquire) - head;
        const std::size_t at = head & (data_.size() - 1);
        const std::size_t first = std::min(n, data_.size() - at);
        to.insert(to.end(), data_.begin() + at, data_.begin() + at + first);
        to.insert(to.end(), data_.begin(), data_.begin() + (n - first));
        head_.store(head + n, std::memory_order_release);
        return n;
    }

private:
    Samples data_;
    std::atomic<std::size_t> head_{0};
    std::atomic<std::size_t> tail_{0};
};

// A queued buffer. Filled by the writer before it is linked; offset, end and done belong to the media clock.
struct Node {
    Node(SharedSamples s, std::uint64_t q, std::int64_t t, bool m, bool l)
        : data(std::move(s)), pcm(data ? data->data() : nullptr), size(data ? data->size() : 0), seq(q), tag(t), more(m), looped(l) {}

    SharedSamples data; // freed by a writer or by drain, never by the media clock
    const std::int16_t *const pcm;
    const std::size_t size;
    const std::uint64_t seq; // 1, 2, 3 …: flush() names the last one that it drops
    const std::int64_t tag;
    const bool more;
    const bool looped;
    std::atomic<std::size_t> offset{0};
    std::atomic<std::int64_t> end{0};
    std::atomic<bool> done{false};
    std::atomic<Node *> next{nullptr};
};

} // namespace

// ---------------------------------------------------------------------------------------------------------------- hub

class HubCore {
public:
    HubCore() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
        if (fd_ < 0)
            throw std::system_error(errno, std::generic_category(), "eventfd");
    }
    ~HubCore() { ::close(fd_); } // not before the last port: the media clock must never write to a reused number
    HubCore(const HubCore &) = delete;
    HubCore &operator=(const HubCore &) = delete;

    int fd() const { return fd_; }

    void add(const std::shared_ptr<PcmCore> &port) {
        std::lock_guard<std::mutex> hold(mutex_);
        ports_.push_back(port);
        changed_.store(true, std::memory_order_relaxed);
    }

    void remove(const PcmCore *port) {
        std::lock_guard<std::mutex> hold(mutex_);
        const auto at = std::find_if(ports_.begin(), ports_.end(), [port](const auto &p) { return p.get() == port; });
        if (at == ports_.end())
            return;
        *at = std::move(ports_.back());
        ports_.pop_back();
        changed_.store(true, std::memory_order_relaxed);
    }

    // Makes the descriptor readable, unless it is already and nobody has drained since.
    void signal() {
        if (signalled_.exchange(true, std::memory_order_seq_cst))
            return;
        const std::uint64_t one = 1;
        const ssize_t written = ::write(fd_, &one, sizeof one);
        (void)written; // cannot fail: the counter is far from its limit
        signals_.fetch_add(1, std::memory_order_relaxed);
    }

    // Media clock: something happened at a port in this tick.
    void note() { dirty_ = true; }

    // Media clock: a port is given its frame, which the bridge does once per tick and port, after it took frames from all.
    // The wake-up waits for the port that was the last one in the previous tick: one wake-up finds the whole tick.
    void portSeen(std::uint64_t &portTick, std::uint64_t now) {
        if (portTick == tick_) { // this port again: a new tick has begun
            expected_ = changed_.exchange(false, std::memory_order_relaxed) ? 0 : seen_;
            seen_ = 0;
            ++tick_;
            ticks_.add(1);
            gap_.beat(now);
            wake(); // left over because a port went away in the last tick
        }
        portTick = tick_;
        ++seen_;
    }
    void portDone() {
        if (seen_ >= expected_)
            wake();
    }

    void collect(std::vector<PcmEvent> &events, Samples &audio);

    PcmHubStats stats(bool reset) {
        PcmHubStats s;
        s.ticks = ticks_.get();
        s.maxGapUs = gap_.get();
        s.signals = signals_.load(std::memory_order_relaxed);
        {
            std::lock_guard<std::mutex> hold(mutex_);
            s.ports = ports_.size();
        }
        if (reset)
            gap_.reset();
        return s;
    }

private:
    void wake() {
        if (dirty_) {
            dirty_ = false;
            signal();
        }
    }

    const int fd_;
    std::atomic<bool> signalled_{false};
    std::atomic<bool> changed_{false};
    std::atomic<std::uint64_t> signals_{0};
    std::mutex mutex_; // the list; never taken by the media clock
    std::vector<std::shared_ptr<PcmCore>> ports_;

    // The media clock's own.
    bool dirty_ = false;
    std::uint64_t tick_ = 1;
    std::size_t seen_ = 0;
    std::size_t expected_ = 0;
    Counter ticks_;
    Gap gap_;
};

// --------------------------------------------------------------------------------------------------------------- port

// The queue is a list with one reader. Writers (under mutex_) link nodes at tail_; the media clock walks from node to node
// and marks those that it has finished; writers and drain() then tell the tags, free the audio, and delete the nodes that
// the media clock has left behind. So the media clock neither allocates, frees nor waits.
class PcmCore {
public:
    PcmCore(std::shared_ptr<HubCore> hub, int id, unsigned captureMs)
        : hub_(std::move(hub)), id_(id), captureMs_(captureMs), head_(new Node(nullptr, 0, 0, false, false)), told_(head_), tail_(head_),
          playing_(head_) {
        head_->done.store(true, std::memory_order_relaxed);
    }
    ~PcmCore() { freeNodes(); }
    PcmCore(const PcmCore &) = delete;
    PcmCore &operator=(const PcmCore &) = delete;

    HubCore &hub() const { return *hub_; }
    int id() const { return id_; }
    void setRate(unsigned rate) { rate_ = rate; }

    // ---- any thread but the media clock

    std::int64_t write(SharedSamples data, std::int64_t tag, bool more, bool looped) {
        std::lock_guard<std::mutex> hold(mutex_);
        if (closed_.load(std::memory_order_relaxed))
            return position();
        reclaim();
        auto *node = new Node(std::move(data), ++seq_, tag, more, looped);
        if (!looped) {
            queued_.fetch_add(static_cast<std::int64_t>(node->size), std::memory_order_relaxed);
            end_ += static_cast<std::int64_t>(node->size);
        }
        tail_->next.store(node, std::memory_order_release);
        tail_ = node;
        return end_;
    }

    std::int64_t flush() {
        std::lock_guard<std::mutex> hold(mutex_);
        if (closed_.load(std::memory_order_relaxed))
            return position();
        flushed_.store(seq_, std::memory_order_seq_cst);
        gate_.wait(); // a frame that was being made when we said so is finished; the next one sees flushed_
        for (Node *n = told_->next.load(std::memory_order_acquire); n != nullptr; n = n->next.load(std::memory_order_acquire)) {
            tell(*n, n->done.load(std::memory_order_acquire));
            told_ = n;
        }
        reclaim();
        queued_.store(0, std::memory_order_relaxed);
        end_ = position();
        if (!events_.empty())
            ready();
        return end_;
    }

    void setCapture(bool on) {
        std::lock_guard<std::mutex> hold(mutex_);
        if (closed_.load(std::memory_order_relaxed))
            return;
        if (on && !ring_)
            ring_ = std::make_unique<Ring>(std::max<std::size_t>(static_cast<std::size_t>(rate_) * captureMs_ / 1000, 1));
        capture_.store(on ? ring_.get() : nullptr, std::memory_order_release);
    }

    // From here on the media clock touches neither the queue nor the ring, so both are freed here and not by it.
    void shut() {
        std::lock_guard<std::mutex> hold(mutex_);
        if (closed_.exchange(true, std::memory_order_seq_cst))
            return;
        gate_.wait();
        freeNodes();
        events_.clear();
        capture_.store(nullptr, std::memory_order_relaxed);
        ring_.reset();
        queued_.store(0, std::memory_order_relaxed);
    }

    void collect(std::vector<PcmEvent> &events, Samples &audio) {
        if (!pending_.exchange(false, std::memory_order_acq_rel))
            return;
        std::lock_guard<std::mutex> hold(mutex_);
        if (closed_.load(std::memory_order_relaxed))
            return;
        reclaim();
        if (ring_) {
            const std::size_t offset = audio.size();
            const std::size_t n = ring_->pop(audio);
            if (n != 0)
                events.push_back({id_, PCM_AUDIO, static_cast<std::int64_t>(heard_), 0, offset, n});
            heard_ += n;
            const std::uint64_t lost = dropped_.get() - droppedTold_;
            if (lost != 0)
                events.push_back({id_, PCM_DROPPED, static_cast<std::int64_t>(lost), 0, 0, 0});
            heard_ += lost;
            droppedTold_ += lost;
        }
        events.insert(events.end(), events_.begin(), events_.end());
        events_.clear();
    }

    bool closed() const { return closed_.load(std::memory_order_relaxed); }
    std::int64_t position() const { return position_.load(std::memory_order_acquire); }
    std::int64_t queued() const { return queued_.load(std::memory_order_relaxed); }
    std::uint64_t underruns() const { return underruns_.get(); }

    PcmStats stats(bool reset) {
        PcmStats s;
        s.framesOut = framesOut_.get();
        s.framesIn = framesIn_.get();
        s.maxGapOutUs = gapOut_.get();
        s.maxGapInUs = gapIn_.get();
        s.underruns = underruns_.get();
        s.captured = captured_.get();
        s.dropped = dropped_.get();
        if (reset) {
            gapOut_.reset();
            gapIn_.reset();
        }
        return s;
    }

    // ---- the media clock

    // The bridge wants a frame (it asks only while somebody listens to this port).
    void pull(pjmedia_frame *frame) {
        GateGuard inside(gate_);
        framesOut_.add(1);
        gapOut_.beat(nowUs());
        std::size_t got = 0;
        if (!closed_.load(std::memory_order_seq_cst))
            got = fill(static_cast<std::int16_t *>(frame->buf), frame->size / sizeof(std::int16_t));
        if (got == 0) { // no audio rather than silence: the bridge then mixes nothing
            frame->type = PJMEDIA_FRAME_TYPE_NONE;
            frame->size = 0;
            return;
        }
        std::memset(static_cast<std::int16_t *>(frame->buf) + got, 0, frame->size - got * sizeof(std::int16_t));
        frame->type = PJMEDIA_FRAME_TYPE_AUDIO;
    }

    // The bridge gives what the sources of this port said; a frame without audio when it has none.
    void push(const pjmedia_frame *frame) {
        GateGuard inside(gate_);
        const std::uint64_t now = nowUs();
        framesIn_.add(1);
        gapIn_.beat(now);
        hub_->portSeen(hubTick_, now);
        skipFlushed();
        if (frame->type == PJMEDIA_FRAME_TYPE_AUDIO && !closed_.load(std::memory_order_seq_cst)) {
            if (Ring *ring = capture_.load(std::memory_order_acquire)) {
                const std::size_t n = frame->size / sizeof(std::int16_t);
                (ring->push(static_cast<const std::int16_t *>(frame->buf), n) ? captured_ : dropped_).add(n);
                noteNews();
            }
        }
        hub_->portDone();
    }

private:
    std::size_t fill(std::int16_t *out, std::size_t want) {
        const std::uint64_t flushed = flushed_.load(std::memory_order_seq_cst);
        const std::int64_t start = position_.load(std::memory_order_relaxed);
        std::size_t got = 0;
        std::size_t unlooped = 0;
        Node *n = playing_.load(std::memory_order_relaxed);
        for (;;) {
            if (n->seq > flushed) { // else its audio is gone and its tag told
                std::size_t offset = n->offset.load(std::memory_order_relaxed);
                if (offset < n->size) {
                    if (got == want)
                        break;
                    const std::size_t take = std::min(want - got, n->size - offset);
                    std::memcpy(out + got, n->pcm + offset, take * sizeof(*out));
                    got += take;
                    offset += take;
                    if (!n->looped)
                        unlooped += take;
                    n->offset.store(n->looped && offset == n->size ? 0 : offset, std::memory_order_relaxed);
                    continue;
                }
                if (!n->done.load(std::memory_order_relaxed)) {
                    n->end.store(start + static_cast<std::int64_t>(got), std::memory_order_relaxed);
                    n->done.store(true, std::memory_order_release);
                    if (n->tag != 0)
                        noteNews();
                }
            }
            Node *next = n->next.load(std::memory_order_acquire);
            if (next == nullptr)
                break;
            n = next;
        }
        playing_.store(n, std::memory_order_release);
        if (got < want && n->seq > flushed && n->more)
            underruns_.add(1);
        if (unlooped != 0)
            queued_.fetch_sub(static_cast<std::int64_t>(unlooped), std::memory_order_relaxed);
        position_.store(start + static_cast<std::int64_t>(got), std::memory_order_release);
        return got;
    }

    // Lets go of flushed nodes even when nobody listens and no frame is asked for, so that they can be deleted.
    void skipFlushed() {
        const std::uint64_t flushed = flushed_.load(std::memory_order_seq_cst);
        if (closed_.load(std::memory_order_seq_cst))
            return;
        Node *n = playing_.load(std::memory_order_relaxed);
        while (n->seq <= flushed) {
            Node *next = n->next.load(std::memory_order_acquire);
            if (next == nullptr)
                break;
            n = next;
        }
        playing_.store(n, std::memory_order_release);
    }

    void noteNews() {
        pending_.store(true, std::memory_order_release);
        hub_->note();
    }

    // Other threads: make drain() look here.
    void ready() {
        pending_.store(true, std::memory_order_release);
        hub_->signal();
    }

    void tell(Node &n, bool played) {
        if (n.tag != 0)
            events_.push_back({id_, played ? PCM_PLAYED : PCM_FLUSHED, n.tag,
                               played ? n.end.load(std::memory_order_relaxed) : static_cast<std::int64_t>(n.offset.load(std::memory_order_relaxed)),
                               0, 0});
        n.data.reset();
    }

    // Tells what is finished, and deletes what the media clock has left behind. Under mutex_.
    void reclaim() {
        for (;;) {
            Node *n = told_->next.load(std::memory_order_acquire);
            if (n == nullptr || !n->done.load(std::memory_order_acquire))
                break;
            tell(*n, true);
            told_ = n;
        }
        const Node *playing = playing_.load(std::memory_order_acquire);
        while (head_ != playing && head_ != told_) {
            Node *gone = head_;
            head_ = head_->next.load(std::memory_order_relaxed);
            delete gone;
        }
    }

    void freeNodes() {
        while (head_ != nullptr) {
            Node *gone = head_;
            head_ = head_->next.load(std::memory_order_relaxed);
            delete gone;
        }
    }

    const std::shared_ptr<HubCore> hub_;
    const int id_;
    const unsigned captureMs_;
    unsigned rate_ = 8000;

    std::atomic<bool> closed_{false};
    std::atomic<bool> pending_{false};
    std::atomic<std::uint64_t> flushed_{0};
    Gate gate_;

    // Under mutex_, which the media clock never takes.
    std::mutex mutex_;
    Node *head_;  // oldest node not deleted
    Node *told_;  // newest node whose end was told
    Node *tail_;  // newest node
    std::uint64_t seq_ = 0;
    std::int64_t end_ = 0; // position at which the queue ends
    std::deque<PcmEvent> events_;
    std::unique_ptr<Ring> ring_;
    std::uint64_t heard_ = 0;
    std::uint64_t droppedTold_ = 0;

    // Written by the media clock.
    std::atomic<Node *> playing_;
    std::atomic<Ring *> capture_{nullptr};
    std::atomic<std::int64_t> position_{0};
    std::atomic<std::int64_t> queued_{0};
    Counter framesOut_, framesIn_, underruns_, captured_, dropped_;
    Gap gapOut_, gapIn_;
    std::uint64_t hubTick_ = 0;
};

void HubCore::collect(std::vector<PcmEvent> &events, Samples &audio) {
    std::uint64_t count;
    const ssize_t got = ::read(fd_, &count, sizeof count);
    (void)got;                                              // nothing there: drained for another reason
    signalled_.store(false, std::memory_order_seq_cst);     // before we look: what comes later signals again
    std::lock_guard<std::mutex> hold(mutex_);
    for (const auto &port : ports_)
        port->collect(events, audio);
}

// ------------------------------------------------------------------------------------------------------- Python's side

PcmBuffer::PcmBuffer(const char *pcm, std::size_t bytes) : data_(copySamples(pcm, bytes)) {}

PcmHub::PcmHub() : core_(std::make_shared<HubCore>()) {}
PcmHub::~PcmHub() = default;
int PcmHub::fd() const { return core_->fd(); }
void PcmHub::collect(std::vector<PcmEvent> &events, std::vector<std::int16_t> &audio) { core_->collect(events, audio); }
PcmHubStats PcmHub::stats(bool reset) { return core_->stats(reset); }

namespace {

// How often PJLIB was shut down: memory of an earlier life was freed with it, whatever our pointers say.
std::atomic<unsigned> pjlibLife{1};
std::atomic<bool> pjlibWatched{false};

void onPjlibShutdown() {
    pjlibLife.fetch_add(1);
    pjlibWatched.store(false);
}

// What the pjmedia_port holds: the core lives until the bridge, which removes ports at its next tick, lets go of it.
struct Hold {
    std::shared_ptr<PcmCore> core;
    pj_pool_t *pool;
};

PcmCore &coreOf(pjmedia_port *port) { return *static_cast<Hold *>(port->port_data.pdata)->core; }

pj_status_t onGetFrame(pjmedia_port *port, pjmedia_frame *frame) {
    coreOf(port).pull(frame);
    return PJ_SUCCESS;
}

pj_status_t onPutFrame(pjmedia_port *port, pjmedia_frame *frame) {
    coreOf(port).push(frame);
    return PJ_SUCCESS;
}

// The last reference is gone: often on the media clock. Everything large was freed by close().
pj_status_t onDestroy(pjmedia_port *port) {
    auto *hold = static_cast<Hold *>(port->port_data.pdata);
    pj_pool_t *pool = hold->pool;
    delete hold;
    pj_pool_release(pool);
    return PJ_SUCCESS;
}

[[noreturn]] void raise(pj_status_t status, const char *what) { throw pj::Error(status, what, "", __FILE__, __LINE__); }

} // namespace

PcmPort::PcmPort(PcmHub &hub, int port_id, unsigned captureMs) : core_(std::make_shared<PcmCore>(hub.core(), port_id, captureMs)) {}

PcmPort::~PcmPort() { close(); }

void PcmPort::createPort(unsigned clock_rate, unsigned samples_per_frame) {
    if (port_ != nullptr)
        raise(PJ_EEXISTS, "PcmPort.createPort()");
    if (core_->closed())
        raise(PJ_EGONE, "PcmPort.createPort() after close()");
    if (clock_rate == 0 || samples_per_frame == 0)
        raise(PJ_EINVAL, "PcmPort.createPort()");
    if (pjsua_get_state() == PJSUA_STATE_NULL)
        raise(PJ_EINVALIDOP, "PcmPort.createPort() before libCreate()");
    pj_pool_t *pool = pjsua_pool_create("pcmport%p", 1000, 1000);
    if (pool == nullptr)
        raise(PJ_ENOMEM, "PcmPort.createPort()");

    auto *port = PJ_POOL_ZALLOC_T(pool, pjmedia_port);
    pj_str_t name;
    pj_strdup2_with_null(pool, &name, ("pcm-" + std::to_string(core_->id())).c_str());
    pjmedia_port_info_init(&port->info, &name, PJMEDIA_SIG_CLASS_APP('P', 'C', 'M'), clock_rate, 1, 16, samples_per_frame);
    port->get_frame = &onGetFrame;
    port->put_frame = &onPutFrame;
    port->on_destroy = &onDestroy;
    port->port_data.pdata = new Hold{core_, pool};
    // With a group lock, the bridge keeps a reference of its own: removal happens on the clock, after we returned.
    pj_status_t status = pjmedia_port_init_grp_lock(port, pool, nullptr);
    if (status != PJ_SUCCESS) {
        onDestroy(port);
        raise(status, "PcmPort.createPort()");
    }
    if (!pjlibWatched.exchange(true))
        pj_atexit(&onPjlibShutdown);
    core_->setRate(clock_rate);
    core_->hub().add(core_);
    try {
        registerMediaPort2(port, pool);
    } catch (...) {
        core_->hub().remove(core_.get());
        pjmedia_port_destroy(port);
        throw;
    }
    port_ = port;
    pjlibLife_ = pjlibLife.load();
}

void PcmPort::close() {
    core_->shut();
    core_->hub().remove(core_.get());
    if (port_ == nullptr)
        return;
    pjmedia_port *port = port_;
    port_ = nullptr;
    if (pjlibLife_ != pjlibLife.load()) // libDestroy() came first: the bridge and the pool are gone, and so is `port`
        return;
    try {
        pj::Endpoint &endpoint = pj::Endpoint::instance();
        if (!pj_thread_is_registered()) // the garbage collector may run anywhere
            endpoint.libRegisterThread("pcm-close");
        unregisterMediaPort();
    } catch (const pj::Error &) {
        // the bridge has lost the slot already (it is being destroyed): our own reference is still to be dropped
    }
    pjmedia_port_destroy(port);
}

std::int64_t PcmPort::write(const PcmBuffer &pcm, std::int64_t tag, bool more) { return core_->write(pcm.shared(), tag, more, false); }

void PcmPort::loop(const PcmBuffer &pcm) {
    if (pcm.samples() == 0)
        throw std::invalid_argument("a loop needs samples");
    core_->write(pcm.shared(), 0, false, true);
}

std::int64_t PcmPort::flush() { return core_->flush(); }
std::int64_t PcmPort::position() const { return core_->position(); }
std::int64_t PcmPort::queued() const { return core_->queued(); }
std::uint64_t PcmPort::underruns() const { return core_->underruns(); }
void PcmPort::set_capture(bool on) { core_->setCapture(on); }
int PcmPort::id() const { return core_->id(); }
PcmStats PcmPort::stats(bool reset) { return core_->stats(reset); }

int sipPollFd() {
    pjsip_endpoint *endpoint = pjsua_get_pjsip_endpt();
    if (endpoint == nullptr)
        return -1;
    const auto *fd = static_cast<const int *>(pj_ioqueue_get_os_handle(pjsip_endpt_get_ioqueue(endpoint)));
    return fd != nullptr ? *fd : -1;
}

} // namespace switchhook
