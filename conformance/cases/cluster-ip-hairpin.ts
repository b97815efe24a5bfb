// Hairpin: the one endpoint of a Service is its client.

import type { ConformanceCase } from "../case.ts";
import { answeredBy } from "../expectation.ts";

export const clusterIpHairpin: ConformanceCase = {
  id: "cluster-ip-hairpin",
  name: "a pod reaches itself through its own Service",
  families: "each",
  needs: {},
  async run(stage) {
    const pod = stage.pod(0);
    const service = await stage.service({ endpoints: [pod] });
    // Its own address as source would make the pod answer itself, past the translation.
    const itself = answeredBy([pod], { clientNot: [stage.address(pod)] });
    await stage.claim("it answers itself over TCP", pod, service.at("tcp"), itself);
    await stage.claim("it answers itself over UDP", pod, service.at("udp"), itself);
  },
};
