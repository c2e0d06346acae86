/**
 * Training of a small model from plain texts, vocabulary included. Start at {@link
 * io.github.mla4j.convert.train.TinyModelTrainer}.
 */
package io.github.mla4j.convert.train;
