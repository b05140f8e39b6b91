// Ranks of new values in a growing bag of binned values.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace tsavo {

// SplitMix64 (Steele, Lea & Flood 2014) as a counter-based generator: draw `index` needs no earlier draw, so a state is
// a seed and a row number. Returns a multiple of 2^-53 in [0, 1).
inline double uniform_draw(std::uint64_t seed, std::uint64_t index) {
    std::uint64_t z = seed + (index + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    z ^= z >> 31;
    return static_cast<double>(z >> 11) * 0x1.0p-53;
}

// How many edges lie at or below x - center; missing values (NaN) go to the bin after the last.
inline std::int32_t bin_of(double x, const float* edges, std::size_t m, double center) {
    if (std::isnan(x)) return static_cast<std::int32_t>(m + 1);
    const double shifted = x - center;
    std::size_t low = 0, length = m;
    // Arithmetic in place of a branch: a branch on unsorted values is mispredicted every other time.
    while (length > 1) {
        const std::size_t half = length / 2;
        low += half * static_cast<std::size_t>(static_cast<double>(edges[low + half - 1]) <= shifted);
        length -= half;
    }
    if (length == 1) low += static_cast<std::size_t>(static_cast<double>(edges[low]) <= shifted);
    return static_cast<std::int32_t>(low);
}

// Counts by bin with prefix sums in O(log bins) (Fenwick 1994).
class Bag {
public:
    Bag(std::uint64_t* counts, std::size_t bins) : counts_(counts), tree_(bins + 1, 0) {
        for (std::size_t bin = 0; bin < bins; ++bin) {
            total_ += counts[bin];
            const std::size_t i = bin + 1, parent = i + (i & (~i + 1));
            tree_[i] += counts[bin];
            if (parent < tree_.size()) tree_[parent] += tree_[i];
        }
    }
    // The smoothed conformal p-value of a value in `bin` among the bag and itself.
    double p_value(std::size_t bin, double draw) const {
        std::uint64_t below = 0;
        for (std::size_t i = bin; i > 0; i &= i - 1) below += tree_[i];
        return (static_cast<double>(below) + draw * static_cast<double>(counts_[bin] + 1)) /
               static_cast<double>(total_ + 1);
    }
    void add(std::size_t bin) {
        ++counts_[bin];
        ++total_;
        for (std::size_t i = bin + 1; i < tree_.size(); i += i & (~i + 1)) ++tree_[i];
    }

private:
    std::uint64_t* counts_;
    std::vector<std::uint64_t> tree_;
    std::uint64_t total_ = 0;
};

}  // namespace tsavo
