#include "runtime/measure_roofline.h"

#include <gtest/gtest.h>

#include <cmath>

namespace mla {
namespace {

TEST(MeasureRoofline, EverySpeedIsANumber) {
  for (int32_t threads : {1, 3}) {
    const Roofline roofline = MeasureRoofline(threads);
    EXPECT_EQ(roofline.threads, threads);
    for (double speed :
         {roofline.bytes, roofline.float_multiply_adds, roofline.integer_multiply_adds}) {
      EXPECT_TRUE(std::isfinite(speed)) << speed;
      EXPECT_GT(speed, 1e6);  // a unit that was taken for another would be far below
    }
  }
}

}  // namespace
}  // namespace mla
