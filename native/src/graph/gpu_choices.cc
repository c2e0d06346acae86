#include "graph/gpu_choices.h"

#include "graph/arena.h"

namespace mla {

Result<std::unique_ptr<GpuChoices>> GpuChoices::Create(GpuStream& stream, int32_t vocabulary) {
  std::unique_ptr<GpuChoices> made(new GpuChoices(stream));
  const auto lay = [&](Arena& arena) {
    for (Place& place : made->places_) {
      place.logits = arena.Floats(vocabulary);
      place.chosen = reinterpret_cast<Choice*>(arena.Take(sizeof(Choice)));
    }
  };
  Arena count(nullptr, kGpuAlignment);
  lay(count);
  made->bytes_ = count.used();
  made->memory_ = stream.Allocate(made->bytes_);
  made->arrived_ = stream.AllocateHost(2 * sizeof(Choice));
  bool complete = made->memory_ != nullptr && made->arrived_ != nullptr;
  for (Place& place : made->places_) {
    place.done = stream.NewMark();
    complete = complete && place.done != nullptr;
  }
  if (!complete) {
    return Status(MLA_OUT_OF_MEMORY, "the GPU has no memory left for a session's next tokens");
  }
  Arena arena(static_cast<uint8_t*>(made->memory_), kGpuAlignment);
  lay(arena);
  auto* arrived = static_cast<Choice*>(made->arrived_);
  for (Place& place : made->places_) place.arrived = arrived++;
  return made;
}

GpuChoices::~GpuChoices() {
  stream_.Free(memory_);
  stream_.FreeHost(arrived_);
}

}  // namespace mla
