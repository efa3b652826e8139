#pragma once

namespace fastloss {

// What a rows functor returns: the value and its derivative, computed together because they share their work.
template <class V>
struct Eval {
  V loss;
  V grad;
};

}  // namespace fastloss
