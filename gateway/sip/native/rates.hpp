// How many a second: token buckets, one for itself or one for each source address; gatekeeper.cpp takes from them.
// SPDX-License-Identifier: GPL-2.0-or-later
#ifndef SWITCHHOOK_RATES_HPP
#define SWITCHHOOK_RATES_HPP

#include "networks.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace switchhook {

// Seconds of a clock that never goes back.
inline double steady_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// So many a second, and so many at once after a rest. A rate of 0 is no limit.
struct Rate {
    double per_second = 0;
    double burst = 0;
};

// Starts full.
class Bucket {
  public:
    // One more, if the rate allows it.
    bool take(const Rate &rate, double now) {
        spent_ = std::max(0.0, spent_ - (now - last_) * rate.per_second);
        last_ = now;
        if (spent_ + 1 > rate.burst)
            return false;
        spent_ += 1;
        return true;
    }

    double last() const { return last_; }

  private:
    double spent_ = 0; // rather than what is left: a new rate or burst holds at once
    double last_ = 0;
};

// A bucket for each of the last 4096 sources, in memory that never grows. Sources that are forged push others out of their
// row only, the stalest first; which row an address falls into differs from run to run, so nobody can aim.
class SourceRates {
  public:
    SourceRates() : sources_(ROWS * WAYS), seed_((std::uint64_t{std::random_device{}()} << 32) | std::random_device{}()) {}

    bool take(const Address &address, const Rate &rate, double now) {
        Source *row = &sources_[row_of(address) * WAYS];
        Source *stalest = row;
        for (Source *source = row; source != row + WAYS; ++source) {
            if (source->address == address)
                return source->bucket.take(rate, now);
            if (source->bucket.last() < stalest->bucket.last())
                stalest = source;
        }
        *stalest = Source{address, Bucket()};
        return stalest->bucket.take(rate, now);
    }

  private:
    static constexpr std::size_t ROWS = 512, WAYS = 8;

    struct Source {
        Address address{};
        Bucket bucket;
    };

    std::size_t row_of(const Address &address) const {
        std::uint64_t halves[2];
        std::memcpy(halves, address.data(), sizeof(halves));
        std::uint64_t mixed = seed_;
        for (const std::uint64_t half : halves) {
            mixed = (mixed ^ half) * 0x9e3779b97f4a7c15u;
            mixed ^= mixed >> 32;
        }
        return mixed % ROWS;
    }

    std::vector<Source> sources_;
    std::uint64_t seed_;
};

} // namespace switchhook

#endif
