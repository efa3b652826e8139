#pragma once

#include <stdint.h>

#include "engines/softmax/args.h"

namespace fastloss {

// A tensor of the logits' shape as samples x classes x pixels, whose pixels lie over `dims` collapsed dimensions.
struct RegionsView {
  void* data;
  int64_t sample_stride, class_stride;
  int64_t stride[kMaxRowDims];
};

// What is summed for each class of a sample, in this order, and what slopes there are of it: Note [Regions].
enum RegionSum { kFirst, kUnder, kMass, kPointSum, kSpread, kPixels, kRegionSums };

struct RegionsArgs {
  int64_t samples, classes, pixels;
  int dims;
  int64_t size[kMaxRowDims];
  int64_t pieces, piece_pixels;  // of a sample; from the shape alone

  RegionsView logits;
  RegionsView gradient;   // backward
  const int64_t* target;  // [samples, pixels]; null: dense targets
  const void* dense;      // [samples, classes, pixels]
  Element dense_type;
  int64_t first_class, known_classes;  // the class of channel 0; targets are in [0, known_classes)
  const Flag* mask;                    // [samples, pixels] or null
  bool ignores;
  int64_t ignore_index;

  bool sigmoid;  // of every channel, instead of the softmax
  bool squared;
  bool point;              // whether there is a point term
  double params[2];        // of its functor: alpha, gamma
  double label_smoothing;  // of the sigmoid's point term; of the softmax's whether it is 0

  double* sums;          // forward: [samples * pieces, kRegionSums, classes]
  Flag* bad;             // forward: [samples * pieces], whether a target is no class
  const double* slopes;  // backward: [samples, kRegionSums, classes]
  bool stream;
};

}  // namespace fastloss
