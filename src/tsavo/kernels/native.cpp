// The Python face of the kernels: checks shapes, lets go of the interpreter lock, runs a loop.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/tuple.h>

#include <optional>
#include <stdexcept>
#include <tuple>

#include "betting.hpp"
#include "conformal.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T>
using Array = nb::ndarray<T, nb::numpy, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Values = Array<const double>;
using Doubles = Array<double>;
using Answer = std::tuple<double, double, std::uint64_t, std::uint64_t>;

void expect(bool holds, const char* message) {
    if (!holds) throw std::invalid_argument(message);
}

template <std::size_t K>
tsavo::Bets<K> bets_of(const Doubles& wealth, const Doubles& cusum, const Doubles& start) {
    expect(wealth.size() == K && cusum.size() == K && start.size() == K, "wealth, cusum, start: one number a bet");
    return {wealth.data(), cusum.data(), start.data()};
}

double* trace_of(const std::optional<Doubles>& trace, std::size_t n) {
    expect(!trace || trace->size() == n, "trace: one number a row");
    return trace ? trace->data() : nullptr;
}

Answer answer_of(const tsavo::Verdict& v) {
    return {v.evidence, v.max_evidence, static_cast<std::uint64_t>(v.alarm_row), static_cast<std::uint64_t>(v.onset)};
}

void bin_values(Values values, Array<const float> edges, double center, Array<std::int32_t> out) {
    expect(out.size() == values.size(), "out: one bin a value");
    const double* x = values.data();
    std::int32_t* bins = out.data();
    nb::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < values.size(); ++i) bins[i] = tsavo::bin_of(x[i], edges.data(), edges.size(), center);
}

void conformal_p_values(Array<const std::int32_t> bins, Array<std::uint64_t> counts, std::uint64_t seed,
                        std::uint64_t rows, Doubles out) {
    expect(out.size() == bins.size(), "out: one p-value a bin");
    const std::int32_t* b = bins.data();
    for (std::size_t i = 0; i < bins.size(); ++i)
        expect(b[i] >= 0 && static_cast<std::size_t>(b[i]) < counts.size(), "bins: outside the counts");
    nb::gil_scoped_release unlocked;
    tsavo::Bag bag(counts.data(), counts.size());
    for (std::size_t i = 0; i < bins.size(); ++i) {
        const auto bin = static_cast<std::size_t>(b[i]);
        out.data()[i] = bag.p_value(bin, tsavo::uniform_draw(seed, rows + i));
        bag.add(bin);
    }
}

Answer bet_on_uniform(Values p, std::uint64_t rows, double evidence, double threshold, Doubles wealth, Doubles cusum,
                      Doubles start, std::optional<Doubles> trace) {
    const auto bets = bets_of<tsavo::kUniformBets>(wealth, cusum, start);
    double* out = trace_of(trace, p.size());
    const double* values = p.data();
    nb::gil_scoped_release unlocked;
    return answer_of(tsavo::bet(
        p.size(), rows, evidence, threshold, bets,
        [values](std::size_t i, double* e) { tsavo::uniform_factors(values[i], e); }, out));
}

Answer bet_on_risk(Values losses, double tolerated, Values stakes, std::uint64_t rows, double evidence,
                   double threshold, Doubles wealth, Doubles cusum, Doubles start, std::optional<Doubles> trace) {
    constexpr std::size_t k = tsavo::kRiskBets;
    const auto bets = bets_of<k>(wealth, cusum, start);
    expect(stakes.size() == k, "stakes: one number a bet");
    double* out = trace_of(trace, losses.size());
    const double *values = losses.data(), *lambda = stakes.data();
    nb::gil_scoped_release unlocked;
    return answer_of(tsavo::bet(
        losses.size(), rows, evidence, threshold, bets,
        [=](std::size_t i, double* e) {
            for (std::size_t j = 0; j < k; ++j) e[j] = 1.0 + lambda[j] * (values[i] - tolerated);
        },
        out));
}

std::tuple<double, double> accumulate_variance(Values values, std::uint64_t rows, double sum, double squares) {
    const double* x = values.data();
    nb::gil_scoped_release unlocked;
    for (std::size_t i = 0; i < values.size(); ++i) {
        // The guess of the mean uses earlier rows only, which is what makes the bound hold.
        const double guess = (0.5 + sum) / static_cast<double>(rows + i + 1);
        squares += (x[i] - guess) * (x[i] - guess);
        sum += x[i];
    }
    return {sum, squares};
}

}  // namespace

NB_MODULE(_native, m) {
    m.attr("UNIFORM_BETS") = tsavo::kUniformBets;
    m.attr("RISK_BETS") = tsavo::kRiskBets;
    m.def("bin_values", &bin_values, "values"_a.noconvert(), "edges"_a.noconvert(), "center"_a, "out"_a.noconvert());
    m.def("conformal_p_values", &conformal_p_values, "bins"_a.noconvert(), "counts"_a.noconvert(), "seed"_a, "rows"_a,
          "out"_a.noconvert());
    m.def("bet_on_uniform", &bet_on_uniform, "p"_a.noconvert(), "rows"_a, "evidence"_a, "threshold"_a,
          "wealth"_a.noconvert(), "cusum"_a.noconvert(), "start"_a.noconvert(), "trace"_a.noconvert() = nb::none());
    m.def("bet_on_risk", &bet_on_risk, "losses"_a.noconvert(), "tolerated"_a, "stakes"_a.noconvert(), "rows"_a,
          "evidence"_a, "threshold"_a, "wealth"_a.noconvert(), "cusum"_a.noconvert(), "start"_a.noconvert(),
          "trace"_a.noconvert() = nb::none());
    m.def("accumulate_variance", &accumulate_variance, "values"_a.noconvert(), "rows"_a, "total"_a, "squares"_a);
}
