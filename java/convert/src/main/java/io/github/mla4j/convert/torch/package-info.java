/**
 * Decoder models over PyTorch tensors, for what needs gradients: training the embedded model, and
 * healing converted ones. Start at {@link io.github.mla4j.convert.torch.LlamaModule}; native memory
 * is bounded by {@link io.github.mla4j.convert.torch.TorchScope}.
 */
package io.github.mla4j.convert.torch;
