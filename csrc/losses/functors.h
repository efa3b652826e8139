#pragma once

// Every functor that losses.h lists.

#include "losses/binary.h"
#include "losses/boxes.h"
#include "losses/cross_entropy.h"
#include "losses/curriculum.h"
#include "losses/divergence.h"
#include "losses/focal.h"
#include "losses/huber.h"
#include "losses/likelihood.h"
#include "losses/margin.h"
#include "losses/pairs.h"
#include "losses/region.h"
#include "losses/regression.h"
#include "losses/similarity.h"
