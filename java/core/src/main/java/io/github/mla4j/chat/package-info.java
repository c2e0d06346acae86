/** Conversations as the text that a model was trained on. */
package io.github.mla4j.chat;
