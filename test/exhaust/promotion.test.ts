// The replica crashes anywhere while it is promoted (C3, H37, H39).

import { explored } from './explored.js';
import { promotions } from './promotion.js';

explored(promotions);
