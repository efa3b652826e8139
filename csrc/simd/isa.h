#pragma once

#include <string>
#include <vector>

#include "simd/kernels.h"

// An ISA is a value: it has a name, can be listed, asked for and forced. See csrc/README.md, "ISA files".
namespace fastloss::isa {

std::vector<std::string> compiled();   // best first
std::vector<std::string> available();  // those this CPU runs
std::string active();

// Throws std::invalid_argument listing the possible names.
void force(const std::string& name);

// The kernels of the ISA in force. Chosen at first use: FASTLOSS_ISA if set, else the best available.
const Kernels& kernels();
const Kernels& kernels(const std::string& name);

}  // namespace fastloss::isa
