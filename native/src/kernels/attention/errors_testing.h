// How far results of attention on a GPU are from the formula's: each, and all together.
#ifndef MLA_KERNELS_ATTENTION_ERRORS_TESTING_H_
#define MLA_KERNELS_ATTENTION_ERRORS_TESTING_H_

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace mla::testing_attention {

class Errors {
 public:
  // No result may be off by more than `most` of 1 and its size.
  explicit Errors(double most) : most_(most) {}

  void Add(const std::vector<float>& actual, const std::vector<float>& expected,
           const std::string& what) {
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      const double error = (actual[i] - expected[i]) / (1.0 + std::fabs(expected[i]));
      ASSERT_LE(std::fabs(error), most_)
          << what << " at " << i << ": " << actual[i] << " for " << expected[i];
      squares_ += error * error;
    }
    count_ += static_cast<double>(actual.size());
  }
  double RootMeanSquare() const { return std::sqrt(squares_ / count_); }

 private:
  const double most_;
  double squares_ = 0, count_ = 0;
};

}  // namespace mla::testing_attention
#endif  // MLA_KERNELS_ATTENTION_ERRORS_TESTING_H_
