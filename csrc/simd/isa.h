#pragma once

#include <string>
#include <vector>

#include "core/macros.h"
#include "simd/kernels.h"

// An ISA is a value: it has a name, can be listed, asked for and forced. See csrc/README.md, "ISA files".
namespace fastloss::isa {

FASTLOSS_EXPORT std::vector<std::string> compiled();   // best first
FASTLOSS_EXPORT std::vector<std::string> available();  // those this CPU runs
FASTLOSS_EXPORT std::string active();

// Throws std::invalid_argument listing the possible names.
FASTLOSS_EXPORT void force(const std::string& name);

// The kernels of the ISA in force. Chosen at first use: FASTLOSS_ISA if set, else the best available.
const Kernels& kernels();
FASTLOSS_EXPORT const Kernels& kernels(const std::string& name);

}  // namespace fastloss::isa
