#pragma once

#include "losses/cross_entropy.h"

// Every loss of the rows family: name of the operator and of the Python function, functor, names of its parameters
// (comma separated, in the order the functor's constructor reads them). Schemas, CPU kernels of every ISA and the
// Python registrations are generated from this list.
#define FASTLOSS_ROWS_LOSSES(X) X(cross_entropy, CrossEntropy, "")
