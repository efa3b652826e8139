#pragma once

// Every loss of the softmax engine: name of the operator and of the Python function, functor, names of its parameters
// (comma separated, in the order the functor's constructor reads them). Schemas, CPU kernels of every ISA and the
// Python registrations are generated from this list.
#define FASTLOSS_ROWS_LOSSES(X)                      \
  X(cross_entropy, CrossEntropy, "")                 \
  X(softmax_focal_loss, SoftmaxFocal, "alpha,gamma") \
  X(poly1_cross_entropy, Poly1, "epsilon")           \
  X(generalized_cross_entropy, Generalized, "q,k")   \
  X(symmetric_cross_entropy, Symmetric, "alpha,beta,log_zero")

// Every loss of the elements engine: name of the operator, functor, names of its parameters. Names of the tensors and
// what is differentiable stand with the Python function.
#define FASTLOSS_POINTWISE_LOSSES(X)                                         \
  X(huber_loss, Huber, "delta")                                              \
  X(smooth_l1_loss, SmoothL1, "beta")                                        \
  X(mse_loss, Mse, "")                                                       \
  X(l1_loss, L1, "")                                                         \
  X(squared_log_loss, SquaredLog, "")                                        \
  X(binary_cross_entropy_with_logits, BceWithLogits, "")                     \
  X(binary_cross_entropy_with_logits_pos_weight, BceWithLogitsPosWeight, "") \
  X(sigmoid_focal_loss, SigmoidFocal, "alpha,gamma")                         \
  X(binary_cross_entropy, Bce, "")                                           \
  X(soft_margin_loss, SoftMargin, "")                                        \
  X(hinge_embedding_loss, HingeEmbedding, "margin")                          \
  X(margin_ranking_loss, MarginRanking, "margin")                            \
  X(poisson_nll_loss, PoissonNll, "log_input,full,eps")                      \
  X(gaussian_nll_loss, GaussianNll, "full,eps")                              \
  X(kl_div, KlDiv, "log_target")                                             \
  X(hinge_loss, Hinge, "margin,p")                                           \
  X(log_cosh_loss, LogCosh, "")                                              \
  X(quantile_loss, Quantile, "q")                                            \
  X(charbonnier_loss, Charbonnier, "eps")                                    \
  X(robust_loss, Robust, "alpha,scale")                                      \
  X(asymmetric_loss, Asymmetric, "gamma_neg,gamma_pos,clip")                 \
  X(box_iou_loss, BoxIou, "kind,format,eps")                                 \
  X(quality_focal_loss, QualityFocal, "beta")                                \
  X(varifocal_loss, Varifocal, "alpha,gamma")                                \
  X(gaussian_focal_loss, GaussianFocal, "alpha,gamma")                       \
  X(balanced_l1_loss, BalancedL1, "alpha,gamma,beta")                        \
  X(super_loss, Super, "tau,lam")

// Every loss of the products engine, likewise.
#define FASTLOSS_PAIRS_LOSSES(X)                              \
  X(cosine_embedding_loss, CosineEmbedding, "margin")         \
  X(contrastive_loss, Contrastive, "margin,squared,distance") \
  X(triplet_margin_loss, TripletMargin, "margin,eps,swap,p")  \
  X(tversky_loss, Tversky, "alpha,beta,eps")

// Every loss of the divergence engine: name of the operator, functor, names of its parameters.
#define FASTLOSS_DIVERGENCE_LOSSES(X)           \
  X(kl_divergence, ForwardKl, "")               \
  X(reverse_kl_divergence, ReverseKl, "")       \
  X(js_divergence, JensenShannon, "beta")       \
  X(tv_divergence, TotalVariation, "")          \
  X(alpha_divergence, AlphaDivergence, "alpha") \
  X(soft_cross_entropy_divergence, SoftCrossEntropy, "")

// Every loss of the similarity engine, likewise.
#define FASTLOSS_SIMILARITY_LOSSES(X)                                           \
  X(info_nce, InfoNce, "inside,decoupled")                                      \
  X(pairwise_sigmoid, PairwiseSigmoid, "")                                      \
  X(pairwise_contrastive, PairwiseContrastive, "pos_margin,neg_margin,squared") \
  X(multi_similarity, MultiSimilarity, "alpha,beta,base")                       \
  X(circle, Circle, "m,gamma")

namespace fastloss {

#define FASTLOSS_INDEX(name, Functor, params) k_##name,
enum RowsLoss : int { FASTLOSS_ROWS_LOSSES(FASTLOSS_INDEX) kRowsLosses };
enum PointwiseLoss : int { FASTLOSS_POINTWISE_LOSSES(FASTLOSS_INDEX) kPointwiseLosses };
enum PairsLoss : int { FASTLOSS_PAIRS_LOSSES(FASTLOSS_INDEX) kPairsLosses };
enum DivergenceLoss : int { FASTLOSS_DIVERGENCE_LOSSES(FASTLOSS_INDEX) kDivergenceLosses };
enum SimilarityLoss : int { FASTLOSS_SIMILARITY_LOSSES(FASTLOSS_INDEX) kSimilarityLosses };
#undef FASTLOSS_INDEX

}  // namespace fastloss
