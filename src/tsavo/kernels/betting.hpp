// Mixtures of bets with a prior over the moment at which the thing betted on begins.
//
// A bet j multiplies its stake by a factor e_j(x) > 0 whose mean is at most one as long as nothing is wrong. Stakes
// are laid down over time, w_t at row t, with sum one; the evidence is the wealth of all stakes, averaged over the
// bets, plus what has not been staked yet. It is a non-negative supermartingale that starts at one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace tsavo {

// Wealth is cut here, which only lowers the evidence, so that it never becomes infinite.
constexpr double kWealthLimit = 1e300;

// The prior over start rows t = 1, 2, ...: the block [2^k, 2^(k+1)) has mass c / ((k + c)(k + c + 1)), spread evenly,
// so what is left after block k is c / (k + 1 + c): a tail as heavy as 1/log t. Only exact powers of two and one
// division are needed, hence the same bits everywhere, which a libm logarithm does not promise.
class StartPrior {
public:
    explicit StartPrior(std::uint64_t rows) : row_(rows) {
        int block = 0;
        while (block < 62 && (std::uint64_t{2} << block) <= rows + 1) ++block;
        enter(block);
    }
    void advance() {
        ++row_;
        if (row_ >= end_) enter(block_ + 1);
    }
    double weight() const { return weight_; }
    // Mass of all start rows after this one.
    double left() const { return after_ + static_cast<double>(end_ - 1 - row_) * weight_; }
    double row() const { return static_cast<double>(row_); }

private:
    static constexpr double kFlatness = 3.0;
    void enter(int block) {
        block_ = block;
        end_ = std::uint64_t{2} << block;
        const double k = block;
        weight_ = std::ldexp(kFlatness / ((k + kFlatness) * (k + kFlatness + 1.0)), -block);
        after_ = kFlatness / (k + 1.0 + kFlatness);
    }
    std::uint64_t row_, end_ = 0;
    int block_ = 0;
    double weight_ = 0.0, after_ = 0.0;
};

struct Verdict {
    double evidence;      // after the last row
    double max_evidence;  // largest in this batch, 0 without rows
    double alarm_row;     // first row of this batch at which the evidence reached the threshold, 0 if none
    double onset;         // where the leading bet of that row last began to win, 0 if no alarm
};

// One bet's running product and, for the estimate of when the change began, its CUSUM: the largest product over all
// start rows, and that start row.
template <std::size_t K>
struct Bets {
    double* wealth;
    double* cusum;
    double* start;
};

template <std::size_t K>
std::size_t leader(const Bets<K>& bets) {
    return static_cast<std::size_t>(std::max_element(bets.wealth, bets.wealth + K) - bets.wealth);
}

// `factors(i, e)` writes the K factors of row i.
template <std::size_t K, class Factors>
Verdict bet(std::size_t n, std::uint64_t rows, double evidence, double threshold, const Bets<K>& bets, Factors factors,
            double* trace) {
    Verdict verdict{evidence, 0.0, 0.0, 0.0};
    StartPrior prior(rows);
    double wealth[K], cusum[K], start[K], e[K];
    std::copy_n(bets.wealth, K, wealth);
    std::copy_n(bets.cusum, K, cusum);
    std::copy_n(bets.start, K, start);
    const Bets<K> local{wealth, cusum, start};
    for (std::size_t i = 0; i < n; ++i) {
        prior.advance();
        const double w = prior.weight(), row = prior.row();
        factors(i, e);
        double total = 0.0;
        for (std::size_t j = 0; j < K; ++j) {
            wealth[j] = std::min((wealth[j] + w) * e[j], kWealthLimit);
            const bool fresh = cusum[j] <= 1.0;
            start[j] = fresh ? row : start[j];
            cusum[j] = std::min((fresh ? 1.0 : cusum[j]) * e[j], kWealthLimit);
        }
        for (std::size_t j = 0; j < K; ++j) total += wealth[j];
        verdict.evidence = total / static_cast<double>(K) + prior.left();
        verdict.max_evidence = std::max(verdict.max_evidence, verdict.evidence);
        if (verdict.alarm_row == 0.0 && verdict.evidence >= threshold) {
            verdict.alarm_row = row;
            verdict.onset = start[leader(local)];
        }
        if (trace != nullptr) trace[i] = verdict.evidence;
    }
    std::copy_n(wealth, K, bets.wealth);
    std::copy_n(cusum, K, bets.cusum);
    std::copy_n(start, K, bets.start);
    return verdict;
}

// Bets that p-values are not uniform: on their location and on their spread, in both directions.
constexpr std::size_t kUniformBets = 10;

inline void uniform_factors(double p, double* e) {
    constexpr double location[3] = {0.15, 0.4, 0.8}, spread[2] = {0.4, 0.8};
    const double u = 2.0 * p - 1.0;
    const double s = (3.0 * u * u - 1.0) * 0.5;
    for (int j = 0; j < 3; ++j) {
        e[j] = 1.0 + location[j] * u;
        e[3 + j] = 1.0 - location[j] * u;
    }
    for (int j = 0; j < 2; ++j) {
        e[6 + j] = 1.0 + spread[j] * s;
        e[8 + j] = 1.0 - spread[j] * s;
    }
}

// Bets that a loss in [0, 1] has a mean above the tolerated one, each with its own stake lambda in [0, 1/tolerated).
constexpr std::size_t kRiskBets = 8;

}  // namespace tsavo
